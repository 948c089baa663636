package store

import (
	"path"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A config that is rewritten before the other files begins a new attempt: core
// files of two attempts are never committed as one.
func TestAttemptsAreNeverMixed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		one, two := content{"one", 2, 0}.files(), content{"two", 3, 0}.files()
		p := b.process()
		write := func(files map[string][]byte, names ...string) {
			t.Helper()
			for _, name := range names {
				b.must(p.write(path.Join(last, name), files[name]))
				b.settle() // a trainer that takes its time is no reason to commit
				b.shows(name, map[string]string{"resume": "old"})
				b.check(name)
			}
		}
		write(one, "config.json", "pytorch_model.bin")
		write(two, "config.json")
		b.must(p.write(last+"/training_state.pth", one["training_state.pth"]))
		b.settle()
		b.check("half of each")
		b.shows("half of each", map[string]string{"resume": "old"})
		b.must(p.save(last, content{"three", 4, 0}))
		b.settle()
		b.shows("a whole one", map[string]string{"resume": "three"})
		b.check("a whole one")
	})
}

// An attempt that was complete when the next one began is committed as it
// stands; the new one works on a clone of its own.
func TestCompleteAttemptIsSealed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.save(last, content{"one", 2, 0}))
		files := content{"two", 3, 0}.files()
		b.must(p.write(last+"/config.json", files["config.json"])) // with no time to settle
		b.pass(0)
		b.shows("the next began", map[string]string{"resume": "one"})
		b.must(p.write(last+"/pytorch_model.bin", files["pytorch_model.bin"]))
		b.pass(time.Hour)
		b.shows("in the middle of the next", map[string]string{"resume": "one"})
		b.check("in the middle of the next")
		if token := b.fileToken(last + "/pytorch_model.bin"); token != "two" {
			t.Errorf("the live tree has %q", token)
		}
		b.must(p.write(last+"/training_state.pth", files["training_state.pth"]))
		b.settle()
		b.shows("the next is through", map[string]string{"resume": "two"})
	})
}

// A writer that dies before its save has settled stops the commit.
func TestDeathBeforeSettling(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.save(last, content{"one", 2, 0}))
		p.die()
		b.pass(time.Hour)
		b.shows("died", map[string]string{"resume": "old"})
	})
}

// Nor does the next attempt commit it, however soon that begins.
func TestDeathBeforeTheNextAttempt(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p, q := b.process(), b.process()
		b.must(p.save(last, content{"one", 2, 0}))
		p.exit(1)
		b.must(q.write(last+"/config.json", content{"two", 3, 0}.files()["config.json"]))
		b.pass(time.Hour)
		b.shows("in the middle of the next", map[string]string{"resume": "old"})
		b.must(q.save(last, content{"two", 3, 0}))
		b.settle()
		b.shows("the next is through", map[string]string{"resume": "two"})
	})
}

// A save that changes no byte leaves no version.
func TestSameContentIsDropped(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		was := b.version("resume").ID
		b.must(b.process().save(last, content{"old", 1, 0}))
		b.settle()
		if is := b.version("resume").ID; is != was {
			t.Errorf("version %s became %s", was, is)
		}
		for _, dir := range []string{stagingDir, historyDir, journalDir} {
			if left := b.left(dir); len(left) > 0 {
				t.Errorf("%s holds %v", dir, left)
			}
		}
	})
}

// One core file that a tool edits is committed when all who changed the save
// have exited with 0, and not before.
func TestPartialRewriteWaitsForExits(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		was := b.version("resume").ID
		p, q := b.process(), b.process()
		b.must(p.write(last+"/config.json", []byte(`{"token": "old", "edited": true}`)))
		b.must(q.write(last+"/notes.txt", []byte("edited")))
		b.pass(time.Minute)
		if is := b.version("resume").ID; is != was {
			t.Error("committed while both live")
		}
		p.exit(0)
		b.pass(time.Minute)
		if is := b.version("resume").ID; is != was {
			t.Error("committed while one lives")
		}
		q.exit(0)
		b.settle()
		v := b.version("resume")
		if v.ID == was {
			t.Error("not committed when both had exited with 0")
		}
		b.shows("committed", map[string]string{"resume": "old"})
	})
}

// A trainer that is restarted after it was killed in the middle begins anew,
// whatever file it writes first.
func TestAttemptAfterADeath(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		one, two := content{"one", 2, 0}.files(), content{"two", 3, 0}.files()
		p := b.process()
		b.must(p.write(last+"/config.json", one["config.json"]))
		b.must(p.write(last+"/training_state.pth", one["training_state.pth"]))
		p.die()
		p = b.process()
		b.must(p.write(last+"/pytorch_model.bin", two["pytorch_model.bin"]))
		b.settle()
		b.shows("two halves", map[string]string{"resume": "old"})
		b.check("two halves")
		p.exit(0)
		b.pass(time.Hour)
		b.shows("the second exits with 0", map[string]string{"resume": "old"})
		b.check("the second exits with 0")
	})
}

// A trainer that syncs the directory after each file has not said that the
// checkpoint is complete: only that this file is.
func TestSyncInTheMiddle(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		files := content{"new", 2, 0}.files()
		p := b.process()
		for _, name := range checkpointFiles {
			b.shows("before "+name, map[string]string{"resume": "old"})
			b.must(p.write(path.Join(last, name), files[name]))
			b.must(b.SyncDir(last))
			b.check("after " + name)
		}
		b.shows("synced", map[string]string{"resume": "new"})
	})
}

// A save that came by a rename and could not be committed is not mixed with the
// next one, which may write any of its files first: the directory does not tell
// in which order they were written (P1).
func TestRenamedInIsNeverMixed(t *testing.T) {
	for _, first := range checkpointFiles {
		inBubble(t, func(b *bench) {
			b.seed(map[string]content{last: {"old", 1, 0}})
			p := b.process()
			b.must(p.save(tmp, content{"one", 2, 0}))
			b.must(p.rename(last, backup))
			b.disk.choose(func(_ int, op disk.Op) error {
				if op == "commit:manifest" {
					return unix.EIO
				}
				return nil
			})
			b.must(p.rename(tmp, last))
			b.settle()
			b.shows("not committed", map[string]string{"resume": "old"})
			b.disk.choose(nil)
			two := content{"two", 3, 0}.files()
			b.must(p.write(last+"/"+first, two[first]))
			b.settle()
			b.check("one file of the next")
		})
	}
}

// One core file that is rewritten by itself leaves an attempt that is never
// completed. The saves after it begin with a file that it does not hold, so where
// one of them ends shows only when another begins: nothing is mixed (P1), and
// after a pause the next save counts as a whole again.
func TestAttemptsAfterAStrayOne(t *testing.T) {
	for _, pause := range []time.Duration{0, patience} {
		inBubble(t, func(b *bench) {
			b.seed(map[string]content{last: {"old", 1, 0}})
			p := b.process()
			b.must(p.write(last+"/pytorch_model.bin", content{"stray", 2, 0}.files()["pytorch_model.bin"]))
			b.settle()
			for _, c := range []content{{"three", 3, 0}, {"four", 4, 0}, {"five", 5, 0}} {
				b.must(p.save(last, c))
				b.settle()
				b.check(c.token)
				b.pass(pause)
			}
			if pause > 0 {
				b.shows("saved", map[string]string{"resume": "five"})
			}
		})
	}
}
