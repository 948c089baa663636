package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/zeebo/xxh3"

	"ckptfs/fs/store/disk"
)

// What lies in the private directory may be anything after a crash, or when
// somebody has edited it: it is read without a panic and within a limit, and no
// path in it leads out of the directory.

// within runs f and fails when it takes more memory than private files may.
func within(t testing.TB, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > maxPrivateMemory {
		t.Errorf("%d MiB allocated", spent>>20)
	}
}

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
		{Op: opCommit, ID: "id", Run: "run", Name: last, Moves: []move{{From: stagingDir + "/id/tree", To: "run/" + last, Ino: 1}}},
		{Op: opMove, ID: "id", Name: last, Moves: []move{{From: last, To: historyDir + "/old", Ino: 1, Copy: 2, Copied: true}}},
		{Op: opUndo, ID: "id", Name: last, Moves: []move{{From: last, Via: stagingDir + "/id/tree", To: trashDir + "/old", Ino: 1, Rest: 2}}},
		{Op: opCommit, ID: "id", Name: "../x"},
		{Op: opCommit, ID: "id", Run: "..", Name: last},
		{Op: opCommit, ID: "id", Run: "/etc", Name: last},
		{Op: opMove, ID: "id", Name: last, Moves: []move{{From: last, To: historyDir + "/../../x", Ino: 1}}},
		{Op: opMove, ID: "id", Name: last, Moves: []move{{From: "/etc", To: last, Ino: 1}}},
		{Op: opMove, ID: "id", Name: last, Moves: []move{{From: last, To: Private + "/lock", Ino: 1}}},
		{Op: opMove, ID: "id", Name: last, Moves: []move{{From: last, To: trashDir + "/x", Version: "../../x", Ino: 1}}},
		{Op: opCommit, ID: "id", Run: Private, Name: last},
		{Op: "format", ID: "id", Name: last},
	} {
		j.Format = journalFormat
		b, err := json.Marshal(j)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var j *journal
		var err error
		within(t, func() { j, err = parseJournal("id.json", data) })
		if err != nil {
			return
		}
		paths := []string{j.ID, j.Name, j.Run}
		for _, m := range j.Moves {
			paths = append(paths, m.From, m.Via, m.To, m.Version)
		}
		for _, p := range paths {
			if leaves(p) {
				t.Errorf("record %+v leads to %q", *j, p)
			}
		}
		if j.ID != "id" || strings.Contains(j.Name, "/") || private(filepath.Join(j.Run, j.Name)) {
			t.Errorf("record %+v", *j)
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
		n.Format = noteFormat
		b, err := json.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var n *saveNote
		var err error
		within(t, func() { n, err = parseNote("id", data) })
		if err != nil {
			return
		}
		if n.ID != "id" || leaves(n.Run) || leaves(n.Name) || strings.Contains(n.Name, "/") {
			t.Errorf("note %+v", *n)
		}
	})
}

func FuzzPapers(f *testing.F) {
	for _, m := range []Manifest{
		{ID: "id", Name: last, CommittedAt: time.Unix(1, 2), Size: 3, Files: []ManifestFile{{Path: "config.json", Size: 3, XXH3: "00ff"}}},
		{ID: "id", Name: last, Metrics: map[string]float64{"f1": 0.5}, Damage: []Damage{{Path: "config.json", Problem: "torn"}}},
		{ID: "id", Name: "../../x"},
		{ID: "id", Name: last, Files: []ManifestFile{{Path: "../../../etc/passwd", XXH3: "no hash"}}},
	} {
		b := packPapers(map[string]packed{m.ID: {paper{1, 2, 3, 4}, &m}})
		f.Add(b[len(papersMagic) : len(b)-16])
	}
	f.Add(binary.AppendUvarint(nil, 1<<62))                   // more entries than bytes
	f.Add(bytes.Repeat([]byte{0xff}, 64))                     // a number without end
	f.Add(append([]byte{1, 1, 1, 1, 1}, make([]byte, 64)...)) // words before there are any
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append([]byte(papersMagic), data...)
		sum := xxh3.Hash128(data) // as whoever wrote it would
		data = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(data, sum.Lo), sum.Hi)
		var all map[string]packed
		var err error
		within(t, func() { all, err = parsePapers(data) })
		if err != nil {
			return
		}
		for id, e := range all {
			for _, p := range append([]string{e.Run, e.Name, id}, pathsOf(e.Manifest)...) {
				if leaves(p) {
					t.Errorf("what is kept of the manifests leads to %q", p)
				}
			}
		}
		again, err := parsePapers(packPapers(all))
		if err != nil || len(again) != len(all) {
			t.Errorf("written and read again there are %d of %d, %v", len(again), len(all), err)
		}
	})
}

func pathsOf(m *Manifest) (paths []string) {
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	return paths
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
		var m *Manifest
		var err error
		within(t, func() { m, err = parseManifest("id", data) })
		if err != nil {
			return
		}
		for _, p := range append([]string{m.Run, m.Name}, pathsOf(m)...) {
			if leaves(p) {
				t.Errorf("the manifest leads to %q", p)
			}
		}
		if m.Size < 0 {
			t.Errorf("%d bytes", m.Size)
		}
	})
}

func FuzzTrashNote(f *testing.F) {
	for _, n := range []trashed{
		{ID: "id", Run: "run", Name: last, Reason: "deleted", Size: 3, Valid: true},
		{ID: "id", Run: "..", Name: last},
		{ID: "id", Name: "../../etc"},
		{ID: "id", Name: last, Size: -1 << 62},
		{ID: "other", Name: last},
	} {
		b, err := json.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Now()
		var n *trashed
		within(t, func() { n = parseTrashed("id", data, now) })
		if n.ID != "id" || leaves(n.Run) || leaves(n.Name) || n.Size < 0 || n.Deleted.After(now) {
			t.Errorf("note %+v", *n)
		}
	})
}

func FuzzQuarantineNote(f *testing.F) {
	for _, h := range []Held{
		{ID: "id", Path: last + "/config.json", Reason: "killed by SIGKILL", Size: 3},
		{ID: "id", Path: "../../../etc/passwd"},
		{ID: "id", Path: "/etc/passwd", Size: -1},
		{ID: "other", Path: last},
	} {
		b, err := json.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Now()
		var h *Held
		within(t, func() { h = parseHeld("id", data, now) })
		if h.ID != "id" || leaves(h.Path) || h.Size < 0 || h.Since.After(now) {
			t.Errorf("note %+v", *h)
		}
	})
}

func FuzzLockBody(f *testing.F) {
	f.Add([]byte(`{"pid":1,"mountpoint":"/mnt"}`))
	f.Add([]byte(`{"pid":-1}`))
	f.Add([]byte("{\"pid\":1,\"mountpoint\":\"\\u001b]0;x\\u0007\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := heldBy(data)
		if !errors.Is(err, ErrLocked) {
			t.Fatal(err)
		}
		for _, r := range err.Error() {
			if !unicode.IsPrint(r) {
				t.Errorf("%q moves the cursor", err)
			}
		}
	})
}

// Notes that ask for far more memory than they have bytes, and their likes.
func TestPrivateFilesAreBounded(t *testing.T) {
	const head = `{"format":1,"id":"id","name":"` + last + `","files":[`
	for name, text := range map[string]string{
		"a manifest of ever more files":    head + strings.Repeat("{},", 16<<20) + "{}]}",
		"a manifest of ever deeper arrays": head + strings.Repeat("[", 32<<20),
		"a manifest of ever more metrics":  head + `],"metrics":{` + manyKeys(2<<20) + `}}`,
		"a manifest that is too long":      strings.Repeat(" ", maxPrivate+1),
	} {
		s := openReadOnly(t, manifestPath("id"), []byte(text))
		within(t, func() {
			if m, err := s.readManifest("id"); err == nil && len(m.Files) > 0 {
				t.Errorf("%s is believed", name)
			}
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
	for name, text := range map[string]string{
		"a memory of ever more versions":         `{"passes":{"x":{"proved":{` + strings.Repeat(`"a":{},`, 2<<20) + `"b":{}}}}}`,
		"a memory of ever more passes":           `{"passes":{` + strings.Repeat(`"a":null,`, 1<<20) + `"scrub":null}}`,
		"a memory of ever deeper arrays":         `{"passes":` + strings.Repeat("[", 8<<20),
		"a memory that is too long":              strings.Repeat(" ", maxVerifyFile+1),
		"a memory of a verification yet to come": `{"passes":{"x":{"began":"2999-01-01T00:00:00Z","proved":{"v":{"f":"hash"}}}}}`,
	} {
		s := openReadOnly(t, verifyFile, []byte(text))
		within(t, func() {
			p, since := s.beginPass("x", false)
			if _, proved := p.proved("v", "f"); proved || name[len(name)-4:] == "come" && since != nil {
				t.Errorf("%s is believed", name)
			}
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
	// A checkpoint of many files has a long note: it must not lose its save.
	found := map[string]uint64{}
	for i := range 100_000 {
		found[fmt.Sprintf("shards/of/a/large/array/%08d", i)] = uint64(i)
	}
	b, err := json.Marshal(saveNote{Format: noteFormat, ID: "id", Name: last, Found: found})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openReadOnly(t, stagingDir+"/id/save.json", b).readNote("id"); err != nil {
		t.Error(err)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":1,`, i)
	}
	return b.String() + `"":1`
}
