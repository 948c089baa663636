// Package outside makes a directory that a test must neither read nor change.
package outside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A Dir is such a directory: it holds the files secret and other, the directory
// empty, and a directory deep with a file in it.
type Dir struct {
	Path   string
	before string
}

// New makes one below the temporary directory of the test.
func New(t testing.TB) *Dir {
	t.Helper()
	d := &Dir{Path: t.TempDir()}
	var errs []error
	for _, name := range []string{"empty", "deep"} {
		errs = append(errs, os.Mkdir(d.In(name), 0o755))
	}
	for name, mode := range map[string]os.FileMode{"secret": 0o600, "other": 0o644, "deep/file": 0o644} {
		errs = append(errs, os.WriteFile(d.In(name), []byte("content of "+name), mode))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	d.before = d.look()
	return d
}

// In is the path of a name in it.
func (d *Dir) In(name string) string { return filepath.Join(d.Path, name) }

// Now takes what is there as what has to stay: after a test has given one of its
// files another name, say.
func (d *Dir) Now() { d.before = d.look() }

// Check fails the test when anything in it has changed: names, content,
// attributes.
func (d *Dir) Check(t testing.TB) {
	t.Helper()
	if now := d.look(); now != d.before {
		t.Errorf("the outside was changed\nfrom:\n%s\nto:\n%s", d.before, now)
		d.before = now
	}
}

func (d *Dir) look() string {
	var b strings.Builder
	err := filepath.WalkDir(d.Path, func(p string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(p, &st)
		}
		content, _ := os.ReadFile(p)
		attr := make([]byte, 64)
		n, _ := unix.Getxattr(p, "user.test", attr)
		fmt.Fprintf(&b, "%s %o %d:%d links %d size %d mtime %v ctime %v %q %q\n", strings.TrimPrefix(p, d.Path),
			st.Mode, st.Uid, st.Gid, st.Nlink, st.Size, st.Mtim.Nano(), st.Ctim.Nano(), content, attr[:max(n, 0)])
		return err
	})
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}
