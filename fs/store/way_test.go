package store

import (
	"fmt"
	"path"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// way is a file system, told by what it answers to the rename of a directory.
type way struct {
	name string
	// exchange says that the probe at mount may find that directories can be swapped.
	exchange bool
	// refuse is what the kernel answers; nil lets the rename through.
	refuse func(b *bench, from, to string, flags uint) error
	// bound says that no trainer could rename a checkpoint there.
	bound bool
}

// ways are all that a backing may be.
var ways = []way{
	{name: "exchange", exchange: true},
	{name: "two renames"},
	{name: "no flags", refuse: func(b *bench, from, to string, flags uint) error { // NFS, old FUSE
		if flags != 0 {
			return unix.EINVAL
		}
		return nil
	}},
	{name: "no exchange after all", exchange: true, refuse: func(b *bench, from, to string, flags uint) error {
		if flags&unix.RENAME_EXCHANGE != 0 && !private(to) {
			return unix.EINVAL
		}
		return nil
	}},
	{name: "lower directories", exchange: true, refuse: func(b *bench, from, to string, flags uint) error { // an overlay
		for _, p := range []string{from, to} {
			if b.isNatural(p) && (p == from || flags&unix.RENAME_EXCHANGE != 0) {
				return unix.EXDEV
			}
		}
		return nil
	}},
	{name: "no directory", bound: true, refuse: func(b *bench, from, to string, flags uint) error {
		if st, err := b.disk.Stat(from); err == nil && st.IsDir() {
			return unix.EXDEV
		}
		return nil
	}},
}

// shows reports whether a pattern of saving shows what there is to a way: an
// overwrite does, and where the trainer's own renames have to be copies, they do.
func (n pattern) shows(w way) bool {
	return n.name == "overwrite in place" || n.name == "a file, overwritten" || n.name == "a group" || w.name == "lower directories" && n.renames
}

// isNatural reports whether a checkpoint lies at a path.
func (b *bench) isNatural(p string) bool {
	_, ok := layout.Builtin()[0].Match(path.Base(p), true)
	st, err := b.disk.Stat(p)
	return ok && !private(p) && err == nil && st.IsDir() && path.Base(p)[:4] != ".tmp"
}

// on makes the directory of a bench one of that kind, from the next mount on.
func (b *bench) on(w way) {
	b.exchange = w.exchange
	b.refuse = nil
	if w.refuse != nil {
		b.refuse = func(from, to string, flags uint) error { return w.refuse(b, from, to, flags) }
	}
}

// A crash at any call of a commit, on any file system, is made good by the next
// mount, also where that one finds another way to commit; and crashing that
// recovery at any call of its own changes nothing (P2, P4).
func TestInterruptedSwap(t *testing.T) {
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			for n, through := 0, false; !through && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, t.TempDir())
					b.on(w)
					b.start()
					defer b.stop()
					b.seed(map[string]content{last: {"older", 1, 0}})
					b.seed(map[string]content{last: {"old", 2, 0}})
					b.must(b.process().save(last, content{"new", 3, 0}))
					b.disk.stopAfter(n)
					b.settle()
					calls := b.disk.made()
					through = len(calls) <= n
					when := "not at all"
					if !through {
						when = "before " + calls[n]
					}
					b.crash()
					if other := ways[(i+n)%len(ways)]; !other.bound { // the next mount may be of another kernel
						b.on(other)
					}
					recovered := b.crashRecovery(n)
					for range 2 {
						b.start()
						b.settle()
						b.shows("crashed "+when, map[string]string{"resume": "new", "by-epoch/2": "old"})
						b.check("crashed " + when)
						for _, dir := range []string{stagingDir, journalDir} {
							if left := b.left(dir); len(left) > 0 {
								t.Errorf("crashed %s: %s holds %v", when, dir, left)
							}
						}
						b.crash()
					}
					b.start()
					if t.Failed() {
						t.Logf("the calls of the commit:\n%s\nof recovery:\n%s", numberedLines(calls), numberedLines(recovered))
					}
				})
			}
		})
	}
}

// crashRecovery opens the store again and again, each time with a crash some calls
// later, until one gets through; it returns the calls of that one. Every third
// call is taken, another third each time. The store is closed.
func (b *bench) crashRecovery(from int) []string {
	b.t.Helper()
	for n := from % 3; ; n += 3 {
		b.stopAt = n
		err := b.tryStart()
		b.stopAt = never
		calls := b.disk.made()
		if err == nil {
			b.crash()
			return calls
		}
		b.disk.crash()
		b.Store = nil
		if n > 1000 {
			b.t.Fatalf("recovery does not come to an end: %v", err)
		}
	}
}

// never is a call that is not made.
const never = -1

// Two saves in each pattern on every file system; deletes, too, and what the
// views show meanwhile.
func TestWays(t *testing.T) {
	for _, w := range ways {
		for _, pattern := range patterns {
			if w.bound && pattern.renames {
				continue // the trainer's own renames fail there as they do without us
			}
			t.Run(fmt.Sprintf("%s, %s", w.name, pattern.name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, t.TempDir())
					b.on(w)
					b.start()
					defer b.stop()
					b.twoSaves(pattern)
				})
			})
		}
	}
}
