package store

import (
	"testing"
	"time"

	"ckptfs/policy"
)

// statfs counts as free what trash and history could give back, and never more
// than is true.
func TestStatfs(t *testing.T) {
	old, spare := content{"old", 1, 1}, content{"spare", 1, 2}
	for _, c := range []struct {
		name string
		do   func(b *bench, p *process)
		back bool // that much comes back when everything is emptied
	}{
		{"nothing", func(b *bench, p *process) {}, false},
		{"trash", func(b *bench, p *process) { b.must(p.removeAll(numbered(old))) }, true},
		{"history", func(b *bench, p *process) { b.seed(map[string]content{numbered(old): {"new", 1, 1}}) }, true},
		{"files that the next version shares count once", func(b *bench, p *process) {
			b.must(p.write(numbered(old)+"/log.txt", []byte("more")))
			b.settle()
		}, true},
		{"the last valid version is protected", func(b *bench, p *process) {
			b.must(p.removeAll(numbered(spare)))
			b.pass(time.Second)
			b.must(p.removeAll(numbered(old)))
		}, true},
		{"a view shows it", func(b *bench, p *process) {
			b.version("by-step/1").Hold()
			b.must(p.removeAll(numbered(old)))
		}, false},
		{"dry_run keeps the history", func(b *bench, p *process) {
			b.seed(map[string]content{numbered(old): {"new", 1, 1}})
			b.configure(func(c *policy.Config) { c.Retention.DryRun = true })
		}, false},
		{"what never was a checkpoint", func(b *bench, p *process) {
			b.must(p.mkdir("checkpoint_epoch3_step1"))
			b.must(p.write("checkpoint_epoch3_step1/config.json", make([]byte, 5000)))
			b.must(b.Commit("checkpoint_epoch3_step1", true))
			b.must(p.removeAll("checkpoint_epoch3_step1"))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{numbered(old): old, numbered(spare): spare})
				c.do(b, b.process())
				b.leave(0)
				st, err := b.Statfs()
				b.must(err)
				free := func() int64 {
					sp, err := b.space()
					b.must(err)
					return sp.free
				}
				claimed, before := int64(st.Bavail)-free(), free()
				if int64(st.Bfree)-free() != claimed {
					t.Errorf("%d bytes more are free, %d for users", int64(st.Bfree)-free(), claimed)
				}
				b.relieve(nil, "", blocks, nil)
				truth := free() - before
				if claimed > truth || claimed < truth-(4<<10) { // the notes are not counted
					t.Errorf("%d bytes count as free, and %d came back", claimed, truth)
				}
				if (truth > 0) != c.back {
					t.Errorf("%d bytes came back", truth)
				}
				b.check("emptied")
			})
		})
	}
}

// No more is free than the disk has.
func TestStatfsIsNoLargerThanTheDisk(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "best_model": {"best", 1, 0}})
		b.must(b.process().removeAll("best_model"))
		b.leave(blocks - floor - 100)
		st, err := b.Statfs()
		b.must(err)
		if st.Bfree != st.Blocks || st.Bavail > st.Blocks {
			t.Errorf("%d of %d blocks are free, %d for users", st.Bfree, st.Blocks, st.Bavail)
		}
	})
}
