package store

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"ckptfs/fs/store/disk"
)

// A commit whose disk does not answer, as a network mount that is stuck, holds up
// nobody but those who touch that checkpoint: others are saved, committed and shown
// meanwhile, in the same run.
func TestCommitsGoSideBySide(t *testing.T) {
	for _, step := range []disk.Op{
		"commit:sync", "hash", "commit:manifest", "commit:journal", "commit:tidy", "commit:done",
	} {
		t.Run(string(step), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				const first, second = "checkpoint_epoch1_step4", "checkpoint_epoch1_step8"
				p := b.process()
				b.must(p.save(first, content{"first", 1, 4}))
				stuck, goOn := b.stickAt(step)
				b.settle()
				if !stuck.Load() {
					t.Fatal("the commit did not come to the step")
				}

				b.must(p.save(second, content{"second", 1, 8}))
				b.settle()
				b.shows("one commit is stuck", map[string]string{"latest": "second", "by-step/8": "second"})
				if list, err := b.ReadDir(""); err != nil || len(list) != 2 {
					t.Errorf("the run has %d entries: %v", len(list), err)
				}
				if _, err := b.Lookup(second+"/config.json", p.tgid); err != nil {
					t.Errorf("a file of the other checkpoint: %v", err)
				}
				if n := len(b.Status().Runs); n != 1 {
					t.Errorf("status tells of %d runs", n)
				}

				close(goOn)
				b.settle()
				b.shows("it answers again", map[string]string{"latest": "second", "by-step/4": "first"})
			})
		})
	}
}

// While a checkpoint is being committed its trainer goes on: no close waits for the
// disk, nor does an open, and what is written is the next save.
func TestNobodyWaitsForACommit(t *testing.T) {
	for _, step := range []disk.Op{"commit:sync", "hash", "commit:manifest", "commit:journal", "commit:parent"} {
		t.Run(string(step), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.save(last, content{"one", 2, 0}))
				_, goOn := b.stickAt(step)
				b.settle()
				saved := make(chan error, 1)
				go func() { saved <- p.save(last, content{"two", 3, 0}) }()
				synctest.Wait()
				select {
				case err := <-saved:
					b.must(err)
				default:
					t.Error("a save waits for the commit of the one before")
				}
				b.shows("a commit is stuck", map[string]string{"resume": "old"})
				close(goOn)
				b.settle()
				b.shows("both are through", map[string]string{"resume": "two"})
			})
		})
	}
}

// stickAt has the disk not answer at a step, the first time that it comes, until
// goOn is closed.
func (b *bench) stickAt(step disk.Op) (stuck *atomic.Bool, goOn chan struct{}) {
	stuck, goOn = new(atomic.Bool), make(chan struct{})
	b.disk.choose(func(_ int, op disk.Op) error {
		if op == step && stuck.CompareAndSwap(false, true) {
			<-goOn
		}
		return nil
	})
	return stuck, goOn
}
