package store

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/policy"
)

// leadTo is what every view of a run leads to, by its name.
func (b *bench) leadTo(r *run) map[string]*Version {
	x := b.standingOf(r)
	defer x.mu.Unlock()
	return x.leadTo()
}

func (x *standing) leadTo() map[string]*Version {
	out := map[string]*Version{}
	say := func(view string, slot int) {
		if v := x.version(slot); v != nil {
			out[view] = v
		}
	}
	say("latest", x.index.Latest())
	say("resume", x.index.Resume())
	say("best", x.index.Best())
	for _, n := range x.index.Epochs() {
		say(fmt.Sprint("by-epoch/", n), x.index.Epoch(n))
	}
	for _, n := range x.index.Steps() {
		say(fmt.Sprint("by-step/", n), x.index.Step(n))
	}
	return out
}

// checkStanding holds what is kept of the views of a run against what a look at
// all its records says: no change may go by unnoticed.
func (b *bench) checkStanding(r *run) error {
	for range standingTries {
		asOf := b.generation.Load()
		got, anew := b.leadTo(r), new(standing)
		b.begin(anew, r)
		want := anew.leadTo()
		if maps.Equal(got, want) {
			return nil
		}
		if b.generation.Load() == asOf {
			return fmt.Errorf("the views of %q lead to %v; seen anew, to %v", r.path, got, want)
		}
	}
	return nil
}

// A commit costs the views one record, however many there are: the others are not
// asked again.
func TestCommitAsksOneRecord(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{stepOne: {"one", 1, 1}, last: {"last", 1, 0}})
		b.shows("seeded", map[string]string{"latest": "last"})
		other := b.named(last)
		other.mu.Lock() // whoever asks it waits for ever
		b.must(b.process().save(stepTwo, content{"two", 2, 1}))
		b.settle()
		b.shows("saved", map[string]string{"latest": "two", "by-epoch/2": "two"})
		other.mu.Unlock()
		b.check("saved")
	})
}

// A commit tells the kernel of the numbers that may lead elsewhere, and of no
// other.
func TestCommitTellsWhatMoved(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{stepOne: {"one", 1, 1}, stepTwo: {"two", 2, 1}})
		b.viewsMoved(b.runAt(""))
		b.notes.mu.Lock()
		b.notes.list = nil
		b.notes.mu.Unlock()
		b.must(b.process().save(stepTwo, content{"again", 2, 1}))
		b.settle()
		b.notes.mu.Lock()
		defer b.notes.mu.Unlock()
		for told, want := range map[string]bool{
			"entry latest": true, "entry by-epoch/2": true, "entry by-step/11": true, "entry by-epoch/1": false, "entry by-step/1": false,
		} {
			if got := slices.Contains(b.notes.list, told); got != want {
				t.Errorf("%q was told: %v, want %v", told, got, want)
			}
		}
	})
}

// Candidates say how things are now, also what changes without a commit.
func TestCandidatesAreFresh(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{stepOne: {"one", 1, 1}, stepTwo: {"two", 2, 1}})
		look := func() (c policy.Checkpoint) {
			for _, c = range b.candidates(b.runAt("")).candidates {
				if c.Name == stepOne {
					return c
				}
			}
			return c
		}
		if c := look(); c.Pinned || c.InUse || c.Saving || c.State != policy.Committed {
			t.Errorf("it is %+v", c)
		}
		b.must(b.Pin(stepOne, "for later"))
		h, err := b.process().openFile(stepOne+"/config.json", unix.O_RDONLY)
		b.must(err)
		if c := look(); !c.Pinned || !c.InUse {
			t.Errorf("pinned and opened it is %+v", c)
		}
		h.Release()
		b.must(b.Unpin(stepOne))
		p := b.process()
		w, err := p.create(stepOne + "/model.safetensors")
		b.must(err)
		if c := look(); c.Pinned || c.InUse || !c.Saving {
			t.Errorf("while it is saved it is %+v", c)
		}
		p.die()
		_ = w
		b.pass(time.Second)
		b.check("died")
	})
}
