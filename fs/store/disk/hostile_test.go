package disk

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/outside"
)

// Every call of the seam, on a path that a symbolic link, or "..", would lead out
// by: as its last component where a call would follow that, and before it.
func TestNoCallLeavesTheRoot(t *testing.T) {
	for _, old := range []bool{false, true} {
		out := outside.New(t)
		r, dir := newRoot(t)
		r.noOpen2.Store(old)
		r.noXattrat.Store(old)
		for name, target := range map[string]string{
			"dir": out.Path, "file": out.In("secret"), "up": "..", "new": out.In("new"), "abs": "/",
		} {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		os.WriteFile(filepath.Join(dir, "mine"), []byte("mine"), 0o644)
		os.Mkdir(filepath.Join(dir, "sub"), 0o755)
		base := filepath.Base(out.Path)
		now := unix.Timespec{Sec: 1}
		buf := make([]byte, 64)
		opened := func(f *os.File, err error) error {
			if err == nil {
				f.Close()
			}
			return err
		}
		calls := map[string]func(p string) error{
			"open":        func(p string) error { return opened(r.Open("t", p, unix.O_RDONLY, 0)) },
			"open path":   func(p string) error { return opened(r.Open("t", p+"/.", unix.O_PATH, 0)) },
			"write":       func(p string) error { return opened(r.Open("t", p, unix.O_WRONLY|unix.O_TRUNC, 0)) },
			"create":      func(p string) error { return opened(r.Open("t", p, unix.O_WRONLY|unix.O_CREAT, 0o666)) },
			"append":      func(p string) error { return opened(r.Open("t", p, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o666)) },
			"list":        func(p string) error { _, err := r.ReadDir(p); return err },
			"describe":    func(p string) error { _, err := r.Describe(p); return err },
			"chmod":       func(p string) error { return r.Chmod("t", p, 0o777) },
			"setxattr":    func(p string) error { return r.Setxattr("t", p, "user.test", []byte("x"), 0) },
			"getxattr":    func(p string) error { _, err := r.Getxattr(p, "user.test", buf); return err },
			"listxattr":   func(p string) error { _, err := r.Listxattr(p, buf); return err },
			"removexattr": func(p string) error { return r.Removexattr("t", p, "user.test") },
			"sync":        func(p string) error { return r.Sync("t", p) },
			"copy":        func(p string) error { return r.Copy("t", p, "sub/copy") },
			"copy to":     func(p string) error { return r.Copy("t", "mine", p) },
			"fs":          func(p string) error { _, err := fs.ReadFile(r.Sub(""), p); return err },
			"fs list":     func(p string) error { _, err := fs.ReadDir(r.Sub(p), "."); return err },
			"mkdir":       func(p string) error { return r.Mkdir("t", p+"/new", 0o755) },
			"mknod":       func(p string) error { return r.Mknod("t", p+"/new", unix.S_IFREG|0o644, 0) },
			"link to":     func(p string) error { return r.Link("t", "mine", p+"/new") },
			"unlink":      func(p string) error { return r.Unlink("t", p+"/secret") },
			"rmdir":       func(p string) error { return r.Rmdir("t", p+"/empty") },
			"rename":      func(p string) error { return r.Rename("t", p+"/secret", "sub/got", 0) },
			"rename to":   func(p string) error { return r.Rename("t", "mine", p+"/other", 0) },
			"stat":        func(p string) error { _, err := r.Stat(p + "/secret"); return err },
			"readlink":    func(p string) error { _, err := r.Readlink(p + "/secret"); return err },
			"chown":       func(p string) error { return r.Chown("t", p+"/secret", 1, 1) },
			"chtimes":     func(p string) error { return r.Chtimes("t", p+"/secret", now, now) },
			"link":        func(p string) error { return r.Link("t", p+"/other", "sub/other") },
		}
		calls["symlink"] = func(p string) error { return r.Symlink("t", "x", p+"/new") }
		for name, call := range calls {
			for _, p := range []string{"dir", "file", "up", "up/" + base, "new", "sub/../../" + base, "../" + base, "abs", "dir/empty"} {
				if err := call(p); err == nil {
					t.Errorf("openat2 %v: %s of %s succeeds", !old, name, p)
				}
			}
		}
		// A link itself may be described, changed and removed.
		if err := r.Chown("t", "dir", os.Geteuid(), os.Getegid()); err != nil {
			t.Error(err)
		}
		if err := r.Chtimes("t", "file", now, now); err != nil {
			t.Error(err)
		}
		if err := r.Rename("t", "dir", "sub/dir", 0); err != nil {
			t.Error(err)
		}
		if err := r.Unlink("t", "sub/dir"); err != nil {
			t.Error(err)
		}
		out.Check(t)
	}
}

// A pipe would be waited for, a device would do whatever it does.
func TestOnlyFilesAndDirectoriesAreOpened(t *testing.T) {
	r, dir := newRoot(t)
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	names := []string{"pipe"}
	if l, err := net.Listen("unix", filepath.Join(dir, "socket")); err == nil { // the path may be too long for one
		defer l.Close()
		names = append(names, "socket")
	}
	if unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil {
		names = append(names, "device")
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		for _, name := range names {
			for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDWR | unix.O_CREAT} {
				if _, err := r.Open("test", name, flags, 0o644); !errors.Is(err, unix.ENXIO) {
					t.Errorf("open of a %s with flags %#x: %v, want ENXIO", name, flags, err)
				}
			}
			if _, err := r.Sub("").Open(name); err == nil {
				t.Errorf("a %s is read", name)
			}
			if err := r.Copy("test", name, "copy"); err == nil {
				t.Errorf("a %s is copied", name)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for the other end of a pipe")
	}
}

func TestSubIsBounded(t *testing.T) {
	r, _ := newRoot(t)
	p := strings.TrimSuffix(strings.Repeat("d/", Deepest+1), "/")
	for i := 1; i <= len(p); i += 2 {
		if err := r.Mkdir("test", p[:i], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := fs.WalkDir(r.Sub(""), ".", func(_ string, _ fs.DirEntry, err error) error { return err })
	if !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("%v, want ENAMETOOLONG", err)
	}
}
