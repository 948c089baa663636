package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func newRoot(t *testing.T) (*Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

// A symbolic link, wherever it stands in the path, leads nowhere (P4: the
// daemon often runs as root).
func TestPathsStayBeneath(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, old := range []bool{false, true} {
		r, dir := newRoot(t)
		r.noOpen2.Store(old)
		os.Symlink(outside, filepath.Join(dir, "out"))
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "file"))
		os.Mkdir(filepath.Join(dir, "sub"), 0o755)
		for _, p := range []string{"out/secret", "file", "../" + filepath.Base(outside) + "/secret", "sub/../../x"} {
			if f, err := r.Open("test", p, unix.O_RDONLY, 0); err == nil {
				f.Close()
				t.Errorf("openat2 %v: opened %s", !old, p)
			}
		}
		if err := r.Unlink("test", "out/secret"); err == nil {
			t.Errorf("openat2 %v: unlinked through a link", !old)
		}
		if st, err := r.Stat("file"); err != nil || !st.IsSymlink() {
			t.Errorf("stat of a link: %+v, %v", st, err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Fatal(err)
	}
}

func TestLongPaths(t *testing.T) {
	r, _ := newRoot(t)
	part := strings.Repeat("d", 200)
	p := ""
	for len(p) < 5000 {
		p = strings.TrimPrefix(p+"/"+part, "/")
		if err := r.Mkdir("test", p, 0o755); err != nil {
			t.Fatalf("at %d bytes: %v", len(p), err)
		}
	}
	f, err := r.Open("test", p+"/f", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if st, err := r.Stat(p + "/f"); err != nil || !st.IsRegular() {
		t.Fatalf("stat: %+v, %v", st, err)
	}
}

func TestCopyBringsEverythingAlong(t *testing.T) {
	r, dir := newRoot(t)
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	xattrs := unix.Setxattr(src, "user.test", []byte("v"), 0) == nil
	when := unix.Timespec{Sec: 1234567, Nsec: 89}
	if err := r.Chtimes("test", "src", when, when); err != nil {
		t.Fatal(err)
	}
	if err := r.Copy("test", "src", "dst"); err != nil {
		t.Fatal(err)
	}
	a, _ := r.Stat("src")
	b, _ := r.Stat("dst")
	if a.Ino == b.Ino || a.Mode != b.Mode || a.Mtime != b.Mtime || a.Size != b.Size || a.UID != b.UID {
		t.Errorf("copy differs: %+v and %+v", a, b)
	}
	if xattrs {
		buf := make([]byte, 8)
		if n, err := r.Getxattr("dst", "user.test", buf); err != nil || string(buf[:n]) != "v" {
			t.Errorf("xattr: %q, %v", buf[:max(n, 0)], err)
		}
	}
	if err := r.Copy("test", "src", "dst"); !errors.Is(err, unix.EEXIST) {
		t.Errorf("copy onto a file: %v, want EEXIST", err)
	}
}
