package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Describe says of every name what Stat does, in a directory of more names than
// one call brings.
func TestDescribe(t *testing.T) {
	r, dir := newRoot(t)
	at := filepath.Join(dir, "many")
	for _, err := range []error{
		os.Mkdir(at, 0o755), os.Mkdir(filepath.Join(at, "below"), 0o700), os.Symlink("nowhere", filepath.Join(at, "link")),
		unix.Mkfifo(filepath.Join(at, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const files = 2000
	for i := range files {
		if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("a file with a long name, number %d", i)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := r.Describe("many")
	if err != nil {
		t.Fatal(err)
	}
	names, err := r.ReadDir("many")
	if err != nil || len(names) != files+3 || len(list) != len(names) {
		t.Fatalf("%d names, %d described, %v; want %d", len(names), len(list), err, files+3)
	}
	for i, e := range list {
		st, err := r.Stat("many/" + e.Name)
		if err != nil || st != e.Stat {
			t.Errorf("%s is described as %+v, but is %+v, %v", e.Name, e.Stat, st, err)
		}
		if n := names[i]; n.Name != e.Name || n.Ino != st.Ino || n.Type != st.Mode&unix.S_IFMT {
			t.Errorf("%s is listed as %+v, but is %+v", e.Name, n, st)
		}
	}
	if _, err := r.Describe("many/link"); err == nil {
		t.Error("a link was followed")
	}
}
