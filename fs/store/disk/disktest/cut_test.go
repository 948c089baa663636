package disktest

import (
	"io/fs"
	"os"
	"testing"

	"ckptfs/fs/store/disk"
)

func newMemory(t *testing.T) *Memory {
	t.Helper()
	return NewMemory(t.TempDir())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a file, and syncs it when asked.
func put(t *testing.T, d disk.Disk, p, data string, sync bool) {
	t.Helper()
	f, err := d.Open("put", p, os.O_WRONLY|os.O_CREATE, 0o644)
	must(t, err)
	defer f.Close()
	must(t, d.Write("put", f, []byte(data), 0))
	if sync {
		must(t, d.Fsync("put", f))
	}
}

// Ways to replace a file, of which it is known what a power cut does to them.
// The last is the only one that is both whole and there in every state.
func TestKnownWriters(t *testing.T) {
	const old, fresh = "the old content", "the new content"
	for _, c := range []struct {
		name         string
		save         func(t *testing.T, d disk.Disk)
		torn, undone [2]bool // by model: it may be damaged; it may not be there after the end
	}{
		{"in place, synced at last", func(t *testing.T, d disk.Disk) {
			put(t, d, "f", fresh, true)
		}, [2]bool{true, true}, [2]bool{false, false}},
		{"renamed, never synced", func(t *testing.T, d disk.Disk) {
			put(t, d, "tmp", fresh, false)
			must(t, d.Rename("", "tmp", "f", 0))
		}, [2]bool{true, true}, [2]bool{true, true}},
		{"renamed, only the file synced", func(t *testing.T, d disk.Disk) {
			put(t, d, "tmp", fresh, true)
			must(t, d.Rename("", "tmp", "f", 0))
		}, [2]bool{false, false}, [2]bool{true, true}},
		{"renamed, only the directory synced", func(t *testing.T, d disk.Disk) {
			put(t, d, "tmp", fresh, false)
			must(t, d.Rename("", "tmp", "f", 0))
			must(t, d.Sync("", ""))
		}, [2]bool{true, true}, [2]bool{true, true}},
		{"the file synced, renamed, the directory synced", func(t *testing.T, d disk.Disk) {
			put(t, d, "tmp", fresh, true)
			must(t, d.Rename("", "tmp", "f", 0))
			must(t, d.Sync("", ""))
		}, [2]bool{false, false}, [2]bool{false, false}},
	} {
		for _, model := range Models {
			t.Run(c.name+", "+model.String(), func(t *testing.T) {
				m := newMemory(t)
				put(t, m, "f", old, true)
				m.Settle()
				c.save(t, m)
				m.Mark("saved")
				torn, undone, states := false, false, 0
				m.Recording().Cuts(model, 0, func(s *State) bool {
					states++
					d, err := s.Disk(t.TempDir())
					must(t, err)
					got := readAll(t, d, "f")
					torn = torn || got != old && got != fresh
					undone = undone || len(s.Marks) > 0 && got != fresh
					return true
				})
				if torn != c.torn[model] || undone != c.undone[model] {
					t.Errorf("in %d states: torn %v, want %v; undone %v, want %v", states, torn, c.torn[model], undone, c.undone[model])
				}
			})
		}
	}
}

func readAll(t *testing.T, d disk.Disk, p string) string {
	t.Helper()
	b, err := fs.ReadFile(d.Sub(""), p)
	must(t, err)
	return string(b)
}

// What the two models differ in: a directory's entries reach the disk with
// whatever is synced later, or only with a sync of the directory itself.
func TestModelsDiffer(t *testing.T) {
	for _, c := range []struct {
		name string
		sync bool // of the new directory
		want [2]bool
	}{
		{"the directory is not synced", false, [2]bool{false, true}},
		{"it is", true, [2]bool{false, false}},
	} {
		for _, model := range Models {
			m := newMemory(t)
			must(t, m.Mkdir("", "tmp", 0o755))
			put(t, m, "tmp/f", "content", true)
			if c.sync {
				must(t, m.Sync("", "tmp"))
			}
			must(t, m.Rename("", "tmp", "final", 0))
			must(t, m.Sync("", ""))
			m.Mark("saved")
			empty := false
			m.Recording().Cuts(model, 0, func(s *State) bool {
				d, err := s.Disk(t.TempDir())
				must(t, err)
				_, err = d.Stat("final/f")
				empty = empty || len(s.Marks) > 0 && err != nil
				return true
			})
			if empty != c.want[model] {
				t.Errorf("%s, %s: final/ may be empty: %v, want %v", c.name, model, empty, c.want[model])
			}
		}
	}
}

// The disk behaves like the real one, as far as the store uses it.
func TestMemoryIsADisk(t *testing.T) {
	real, err := disk.OpenRoot(t.TempDir())
	must(t, err)
	defer real.Close()
	for name, d := range map[string]disk.Disk{"real": real, "memory": newMemory(t)} {
		t.Run(name, func(t *testing.T) { exercise(t, d) })
	}
}
