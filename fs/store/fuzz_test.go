package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ckptfs/fs/store/disk"
)

// What lies in the private directory may be anything after a crash, or when
// somebody has edited it: it is read without a panic, and no path in it leads
// out of the directory.

// openReadOnly is a store over a directory whose private state a fuzzer writes.
func openReadOnly(t *testing.T, file string, data []byte) *Store {
	t.Helper()
	dir := t.TempDir()
	p := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := disk.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return newStore(root, Options{})
}

// leaves reports whether a path is anything but one below the directory.
func leaves(p string) bool {
	return strings.HasPrefix(p, "/") || p == ".." || strings.HasPrefix(p, "../") || strings.Contains(p, "/../") || strings.HasSuffix(p, "/..")
}

func FuzzJournal(f *testing.F) {
	for _, j := range []journal{
		{Op: opCommit, ID: "id", Run: "run", Name: last, NewIno: 1},
		{Op: opCommit, ID: "id", Name: last, NewIno: 1, OldIno: 2, Aside: historyDir + "/old"},
		{Op: opCommit, ID: "id", Name: "../x", NewIno: 1},
		{Op: opCommit, ID: "id", Run: "..", Name: last},
		{Op: opCommit, ID: "id", Run: "/etc", Name: last},
		{Op: opCommit, ID: "id", Name: last, OldIno: 2, Aside: historyDir + "/../../x"},
		{Op: opCommit, ID: "id", Run: Private, Name: last},
		{Op: "format", ID: "id", Name: last},
	} {
		b, err := json.Marshal(j)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := openReadOnly(t, journalPath("id"), data)
		steps, err := s.readJournal()
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range steps {
			for _, p := range []string{j.ID, j.Name, j.Run, j.Aside} {
				if leaves(p) {
					t.Errorf("record %+v leads to %q", *j, p)
				}
			}
			if strings.Contains(j.Name, "/") || strings.Contains(j.ID, "/") || private(filepath.Join(j.Run, j.Name)) {
				t.Errorf("record %+v", *j)
			}
		}
	})
}

func FuzzSaveNote(f *testing.F) {
	for _, n := range []saveNote{
		{ID: "id", Run: "run", Name: last, Boot: "b", Found: map[string]uint64{"config.json": 1}},
		{ID: "id", Run: "..", Name: last},
		{ID: "id", Run: "a/../../b", Name: last},
		{ID: "id", Name: "../" + last},
		{ID: "other", Name: last},
	} {
		b, err := json.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := openReadOnly(t, stagingDir+"/id/save.json", data)
		n, err := s.readNote("id")
		if err != nil {
			return
		}
		if n.ID != "id" || leaves(n.Run) || leaves(n.Name) || strings.Contains(n.Name, "/") {
			t.Errorf("note %+v", *n)
		}
	})
}
func FuzzManifest(f *testing.F) {
	for _, m := range []Manifest{
		{Format: manifestFormat, ID: "id", Name: last, Files: []ManifestFile{{Path: "config.json", Size: 3}}},
		{Format: manifestFormat, ID: "id", Run: "..", Name: last},
		{Format: manifestFormat, ID: "id", Name: "../../x"},
		{Format: manifestFormat, ID: "id", Name: last, Files: []ManifestFile{{Path: "../../../etc/passwd"}}},
		{Format: 2, ID: "id"},
	} {
		b, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := openReadOnly(t, manifestPath("id"), data)
		m, err := s.readManifest("id")
		if err != nil {
			return
		}
		paths := []string{m.Run, m.Name}
		for _, file := range m.Files {
			paths = append(paths, file.Path)
		}
		for _, p := range paths {
			if leaves(p) {
				t.Errorf("the manifest leads to %q", p)
			}
		}
	})
}
