package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mountCounted opens a store as a mount does and says what was opened of the
// private directory.
func mountCounted(t *testing.T, dir string) (s *Store, opened map[string]int) {
	t.Helper()
	var count openings
	s, err := mountOnce(dir, &count)
	if err != nil {
		t.Fatal(err)
	}
	count.mu.Lock()
	defer count.mu.Unlock()
	return s, count.files
}

// What many manifests say is read from one file, as long as each is what it was
// made from; whatever becomes of that file, a mount knows the same.
func TestPapers(t *testing.T) {
	const n = 2 * packAt
	dir := manyCheckpoints(t, n)
	papers := filepath.Join(dir, papersFile)
	whole, err := os.ReadFile(papers)
	if err != nil {
		t.Fatal(err)
	}
	known := func(s *Store) map[string]Manifest {
		out := map[string]Manifest{}
		for _, rec := range s.recordsOf(s.runAt("")) {
			out[rec.name] = s.ManifestOf(rec.committed)
		}
		return out
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var want map[string]Manifest
	expect := func(when string, manifests int) {
		t.Helper()
		s, opened := mountCounted(t, dir)
		defer func() { must(s.Close()) }()
		if got := known(s); want == nil {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s another thing is known:\n%s", when, diff)
		}
		if opened["manifests"] != manifests {
			t.Errorf("%s %d manifests were read, want %d", when, opened["manifests"], manifests)
		}
	}
	must(os.Remove(papers))
	expect("without the file", n)
	expect("with what the unmount wrote", 0)
	for name, b := range map[string][]byte{
		"empty": {}, "torn": whole[:len(whole)/2], "zeroed at its end": append(whole[:len(whole)-100:len(whole)-100], make([]byte, 100)...),
	} {
		must(os.WriteFile(papers, b, 0o600))
		expect(name, n)
	}
	// A manifest that was written anew is read; so is one that another has put there.
	list, err := os.ReadDir(filepath.Join(dir, manifestDir))
	must(err)
	for _, e := range list[:3] {
		p := filepath.Join(dir, manifestDir, e.Name())
		b, err := os.ReadFile(p)
		must(err)
		must(os.WriteFile(p+".new", b, 0o600))
		must(os.Rename(p+".new", p))
	}
	expect("three written anew", 3)
	must(os.WriteFile(filepath.Join(dir, manifestDir, list[0].Name()), []byte("{}"), 0o600))
	s, _ := mountCounted(t, dir)
	defer s.Close()
	if len(known(s)) != n {
		t.Errorf("%d checkpoints are known, want %d", len(known(s)), n)
	}
}

// Few manifests are not worth a file of their own.
func TestFewPapers(t *testing.T) {
	dir := manyCheckpoints(t, 3)
	if _, err := os.Stat(filepath.Join(dir, papersFile)); !os.IsNotExist(err) {
		t.Errorf("it was written: %v", err)
	}
}
