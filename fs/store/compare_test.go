package store

import (
	"os"
	"path/filepath"
	"testing"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// A mount looks into no checkpoint before it is usable, whatever their number; but
// what a view shows has been looked into (P1).
func TestMountComparesLater(t *testing.T) {
	const n, newest, before = 200, "checkpoint_epoch2_step100", "checkpoint_epoch2_step99"
	dir := manyCheckpoints(t, n)
	if err := os.Remove(filepath.Join(dir, newest, "config.json")); err != nil { // while nothing is mounted
		t.Fatal(err)
	}
	root, err := disk.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := &asked{Disk: root}
	s := newStore(d, Options{Config: policy.Default()})
	s.lazy = true // as for a mount
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d.calls()
	if err := s.recoverAll(); err != nil {
		t.Fatal(err)
	}
	if stats, lists := d.calls(); stats+lists > n/2 {
		t.Errorf("until the mount is usable the disk is asked for %d names and %d lists", stats, lists)
	}
	if left := s.unchecked.Load(); left != n {
		t.Errorf("%d are to be compared, want %d", left, n)
	}
	v, ok := s.View("", "latest")
	if !ok || v.Version.Name != before {
		t.Errorf("latest/ leads to %+v, want %s: a file of the newest is missing", v.Version, before)
	}
	if left := s.unchecked.Load(); left != n-2 {
		t.Errorf("%d are to be compared then, want %d", left, n-2)
	}
	if list := s.List(false).Runs[0].Checkpoints; len(list) != n || s.unchecked.Load() != 0 {
		t.Errorf("%d are listed, %d of them were not compared", len(list), s.unchecked.Load())
	}
	for _, row := range s.List(false).Runs[0].Checkpoints {
		if want := map[bool]policy.State{true: policy.Invalid, false: policy.Committed}[row.Name == newest]; row.State != want {
			t.Errorf("%s is %s, want %s", row.Name, row.State, want)
		}
	}
}

// What was changed while nothing was mounted is looked into before anybody
// changes, moves or deletes it: what it was is not what it is said to have been.
func TestComparedBeforeAnythingElse(t *testing.T) {
	for name, act := range map[string]func(p *process) error{
		"saved":   func(p *process) error { return p.write(stepOne+"/config.json", []byte("{}")) },
		"renamed": func(p *process) error { return p.rename(stepOne, "checkpoint_epoch7_step7") },
		"deleted": func(p *process) error { return p.removeAll(stepOne) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{stepOne: {"one", 1, 1}, last: {"last", 1, 0}})
				was := b.named(stepOne).committed
				b.stop()
				b.must(os.Remove(filepath.Join(b.dir, stepOne, "training_state.pth")))
				b.start()
				b.must(act(b.process()))
				if v := b.versionByID(was.ID); v != nil {
					t.Errorf("what is not there any more is a version still: %+v", v.Manifest)
				}
				b.must(b.checkViews())
				b.must(b.checkListings())
			})
		})
	}
}
