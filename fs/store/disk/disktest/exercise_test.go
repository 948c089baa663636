package disktest

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// exercise is what every disk has to do alike.
func exercise(t *testing.T, d disk.Disk) {
	put(t, d, "f", "content", true)
	must(t, d.Mkdir("", "dir", 0o755))
	must(t, d.Mkdir("", "dir/sub", 0o755))
	must(t, d.Link("", "f", "dir/g"))
	must(t, d.Symlink("", "f", "link"))
	must(t, d.Copy("", "f", "dir/sub/copy"))
	fails := func(what string, want unix.Errno, err error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := d.Stat("nothing")
	fails("stat of nothing", unix.ENOENT, err)
	_, err = d.Stat("f/x")
	fails("stat below a file", unix.ENOTDIR, err)
	_, err = d.Stat("link/x")
	fails("stat through a link", unix.ENOTDIR, err)
	_, err = d.Open("", "link", os.O_RDONLY, 0)
	fails("open a link", unix.ELOOP, err)
	_, err = d.Open("", "f", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	fails("exclusive create", unix.EEXIST, err)
	fails("mkdir", unix.EEXIST, d.Mkdir("", "dir", 0o755))
	fails("rmdir of a full one", unix.ENOTEMPTY, d.Rmdir("", "dir"))
	fails("rmdir of a file", unix.ENOTDIR, d.Rmdir("", "f"))
	fails("unlink of a directory", unix.EISDIR, d.Unlink("", "dir"))
	fails("rename onto a full directory", unix.ENOTEMPTY, d.Rename("", "dir/sub", "dir", 0))
	fails("rename, not replacing", unix.EEXIST, d.Rename("", "f", "dir/g", unix.RENAME_NOREPLACE))
	fails("exchange with nothing", unix.ENOENT, d.Rename("", "f", "nothing", unix.RENAME_EXCHANGE))
	fails("copy onto a file", unix.EEXIST, d.Copy("", "f", "dir/g"))

	st, err := d.Stat("f")
	must(t, err)
	if st.Nlink != 2 || st.Size != 7 || !st.IsRegular() {
		t.Errorf("f is %+v", st)
	}
	must(t, d.Chmod("", "f", 0o640))
	when := unix.Timespec{Sec: 1234567, Nsec: 89}
	must(t, d.Chtimes("", "f", when, when))
	if st, err = d.Stat("dir/g"); err != nil || st.Mode&0o777 != 0o640 || st.Mtime != when {
		t.Errorf("its other name shows %+v, %v", st, err)
	}
	must(t, d.Rename("", "dir/sub", "f2", 0))
	must(t, d.Rename("", "dir", "f2", unix.RENAME_EXCHANGE))
	if _, err := d.Stat("f2/g"); err != nil {
		t.Errorf("after an exchange: %v", err)
	}
	if got := readAll(t, d, "dir/copy"); got != "content" {
		t.Errorf("the copy holds %q", got)
	}
	var seen []string
	must(t, fs.WalkDir(d.Sub(""), ".", func(p string, _ fs.DirEntry, err error) error {
		seen = append(seen, p)
		return err
	}))
	if len(seen) != 7 {
		t.Errorf("a walk finds %v", seen)
	}
	must(t, d.Unlink("", "f2/g"))
	must(t, d.Rmdir("", "f2"))
	if target, err := d.Readlink("link"); err != nil || target != "f" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	f, err := d.Open("", "f", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if !d.Writable(f) {
		t.Error("nobody can write to a file that is open for writing")
	}
	must(t, d.Truncate("", f, 3))
	if st, err := d.Fstat(f); err != nil || st.Size != 3 {
		t.Errorf("truncated it is %+v, %v", st, err)
	}
}
