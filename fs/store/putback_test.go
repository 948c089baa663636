package store

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// killedInTheEnd has a trainer killed when it has written all of its last file,
// and returns the row of that.
func killedInTheEnd(b *bench, c content) QuarantineRow {
	b.t.Helper()
	p := b.process()
	files := c.files()
	for _, name := range checkpointFiles[:2] {
		b.must(p.write(path.Join(last, name), files[name]))
	}
	h, err := p.openFile(path.Join(last, checkpointFiles[2]), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	b.must(err)
	_, err = h.WriteAt(files[checkpointFiles[2]], 0)
	b.must(err)
	p.die()
	b.settle()
	rows := b.HeldBack().Quarantine
	if len(rows) != 1 || rows[0].Path != path.Join(last, checkpointFiles[2]) || rows[0].Run != "." {
		b.t.Fatalf("held back is %+v", rows)
	}
	return rows[0]
}

// What was held back goes back into its save by hand, and is committed by hand:
// nobody else knows that it is whole.
func TestPutBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		held := killedInTheEnd(b, content{"new", 2, 0})
		if err := b.PutBack(held.ID, "plain.txt", false); err == nil || !strings.Contains(err.Error(), "no file of a checkpoint") {
			t.Errorf("under a plain name: %v", err)
		}
		if err := b.PutBack("x", held.Path, false); err == nil {
			t.Error("what is not there was put back")
		}
		b.must(b.PutBack(held.ID, held.Path, false))
		b.settle()
		b.shows("put back", map[string]string{"resume": "old"})
		b.must(b.Commit(last, false))
		b.shows("committed", map[string]string{"resume": "new"})
		b.check("committed")
		if left := b.left(quarantineDir); len(left) > 0 {
			t.Errorf("the quarantine holds %v", left)
		}
	})
}

// A file that is damaged goes back only when that is asked for, and is not
// committed.
func TestPutBackOfHalfAFile(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		held := killedInTheEnd(b, content{"new", 2, 0})
		file := filepath.Join(b.dir, quarantineDir, held.ID)
		b.must(os.Truncate(file, held.Size/2))
		if err := b.PutBack(held.ID, held.Path, false); err == nil || !strings.Contains(err.Error(), "it is not whole") {
			t.Errorf("it says %v", err)
		}
		if rows := b.HeldBack().Quarantine; len(rows) != 1 {
			t.Errorf("held back is %+v", rows)
		}
		b.must(b.PutBack(held.ID, held.Path, true))
		if err := b.Commit(last, false); err == nil {
			t.Error("half a file was committed")
		}
		b.shows("put back", map[string]string{"resume": "old"})
	})
}

// A crash at any call leaves the file in quarantine or in the save.
func TestCrashWhilePuttingBack(t *testing.T) {
	for n, through := 0, false; !through && !t.Failed(); n++ {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, t.TempDir())
			b.start()
			defer func() { b.stop() }()
			b.seed(map[string]content{last: {"old", 1, 0}})
			held := killedInTheEnd(b, content{"new", 2, 0})
			b.disk.stopAfter(n)
			err := b.PutBack(held.ID, held.Path, false)
			calls := b.disk.made()
			through = len(calls) <= n
			b.restart()
			b.settle()
			b.check("crashed")
			back := len(b.HeldBack().Quarantine) == 0
			shown, _ := b.view("resume")
			if shown != "old" && (!back || shown != "new") { // a mount judges the save anew, and by all of its files
				t.Errorf("before call %d: resume/ shows %q", n, shown)
			}
			if !back && err == nil {
				t.Errorf("before call %d: it said that the file is back", n)
			}
			if !back {
				b.must(b.PutBack(held.ID, held.Path, false))
			}
			if shown == "old" {
				b.must(b.Commit(last, false))
			}
			b.shows("committed", map[string]string{"resume": "new"})
			if t.Failed() {
				t.Logf("the calls:\n%s", numberedLines(calls))
			}
		})
	}
}
