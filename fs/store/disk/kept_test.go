package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newOurs is a root with a directory that is ours.
func newOurs(t *testing.T) (*Root, string) {
	r, dir := newRoot(t)
	if err := r.Mkdir("t", "ours", 0o700); err != nil {
		t.Fatal(err)
	}
	r.Ours("ours")
	return r, dir
}

// A directory that is kept open is never mistaken for the one that has its name
// now, however it lost it.
func TestKeptDirectoryMoves(t *testing.T) {
	for name, move := range map[string]func(r *Root) error{
		"renamed away, and made anew": func(r *Root) error {
			return errors.Join(r.Rename("t", "ours/a/tree", "away", 0), r.Mkdir("t", "ours/a/tree", 0o700))
		},
		"exchanged with one beside": func(r *Root) error {
			return errors.Join(r.Mkdir("t", "ours/a/other", 0o700), r.Rename("t", "ours/a/other", "ours/a/tree", unix.RENAME_EXCHANGE))
		},
		"exchanged with one outside": func(r *Root) error {
			return errors.Join(r.Mkdir("t", "natural", 0o700), r.Rename("t", "ours/a/tree", "natural", unix.RENAME_EXCHANGE))
		},
		"the one above renamed away, and made anew": func(r *Root) error {
			return errors.Join(r.Rename("t", "ours/a", "ours/b", 0), r.Mkdir("t", "ours/a", 0o700), r.Mkdir("t", "ours/a/tree", 0o700))
		},
		"removed, and made anew": func(r *Root) error {
			return errors.Join(r.Unlink("t", "ours/a/tree/old"), r.Rmdir("t", "ours/a/tree"), r.Mkdir("t", "ours/a/tree", 0o700))
		},
		"replaced": func(r *Root) error {
			return errors.Join(r.Unlink("t", "ours/a/tree/old"), r.Mkdir("t", "natural", 0o700), r.Rename("t", "natural", "ours/a/tree", 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir := newOurs(t)
			err := errors.Join(r.Mkdir("t", "ours/a", 0o700), r.Mkdir("t", "ours/a/tree", 0o700), touch(r, "ours/a/tree/old"))
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := r.kept.find("ours/a/tree"); d == nil {
				t.Fatal("the directory is not kept: this tests nothing")
			} else {
				directory{d.fd, d, &r.kept}.release()
			}
			if err := move(r); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Stat("ours/a/tree/old"); !errors.Is(err, unix.ENOENT) {
				t.Errorf("what was in the old directory is found in the new one: %v", err)
			}
			if err := touch(r, "ours/a/tree/new"); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "ours/a/tree/new")); err != nil {
				t.Errorf("it was made in the old directory: %v", err)
			}
		})
	}
}

func touch(r *Root, p string) error {
	f, err := r.Open("t", p, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// A directory that moves while it is being opened is not kept under its old path.
func TestKeptDirectoryMovesMeanwhile(t *testing.T) {
	r, _ := newOurs(t)
	if err := r.Mkdir("t", "ours/a", 0o700); err != nil {
		t.Fatal(err)
	}
	_, moves := r.kept.find("ours/a")
	fd, err := r.openat("ours/a", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := r.Rename("t", "ours/a", "ours/b", 0); err != nil {
		t.Fatal(err)
	}
	if d := r.kept.keep("ours/a", fd, moves); d != nil {
		t.Error("it was kept")
	}
}

// However many directories there are, few are kept, and none is left open.
func TestKeptDirectoriesAreFew(t *testing.T) {
	r, _ := newOurs(t)
	before := openDescriptors(t)
	for i := range 3 * mostKept {
		dir := fmt.Sprintf("ours/%d", i)
		if err := errors.Join(r.Mkdir("t", dir, 0o700), touch(r, dir+"/file")); err != nil {
			t.Fatal(err)
		}
	}
	if n := openDescriptors(t) - before; n > mostKept || len(r.kept.dirs) != mostKept {
		t.Errorf("%d descriptors for %d directories, want %d", n, len(r.kept.dirs), mostKept)
	}
	if d, _ := r.kept.find(fmt.Sprintf("ours/%d", 3*mostKept-1)); d == nil {
		t.Error("the last one was let go")
	} else {
		directory{d.fd, d, &r.kept}.release()
	}
	r.Close()
	if n := openDescriptors(t); n != before-1 {
		t.Errorf("%d descriptors are left open", n-before+1)
	}
}

func openDescriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Where others may move directories too, each path is looked up each time: a link
// that is put in the place of a directory leads nowhere.
func TestOthersDirectoriesAreNotKept(t *testing.T) {
	r, dir := newRoot(t)
	outside := t.TempDir()
	if err := r.Mkdir("t", "theirs", 0o770); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "theirs"), 0o770); err != nil {
		t.Fatal(err)
	}
	r.Ours("theirs")
	if err := errors.Join(r.Mkdir("t", "theirs/a", 0o700), touch(r, "theirs/a/old")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(filepath.Join(dir, "theirs/a"), filepath.Join(outside, "a")), os.Symlink(filepath.Join(outside, "a"), filepath.Join(dir, "theirs/a"))); err != nil {
		t.Fatal(err)
	}
	if err := touch(r, "theirs/a/new"); err == nil {
		t.Error("a file was made through a link")
	}
}
