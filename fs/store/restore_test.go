package store

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ckptfs/layout"
	"ckptfs/policy"
)

// versions lists the earlier versions of a name, those in the trash included, by
// their tokens.
func (b *bench) versions(name string) map[string]string {
	b.t.Helper()
	out := map[string]string{}
	enter := func(v *Version) {
		if v != nil && v.where() != "" && path.Join(v.Run, v.Name) == name {
			token, err := b.loadVersion(v)
			b.must(err)
			out[token] = v.ID
		}
	}
	if rec := b.named(name); rec != nil {
		for _, v := range rec.history {
			enter(v)
		}
	}
	for _, t := range b.trashOldestFirst() {
		enter(t.version)
	}
	return out
}

// restoring is one way to restore: what there is before, and the version that is
// taken back.
type restoring struct {
	name   string
	target string // the name that is restored
	token  string // of the version
	layout *layout.Layout
	before func(b *bench, target string)
}

var restorings = []restoring{
	{name: "over what is live", target: last, token: "old"},
	{name: "a deleted name", target: last, token: "new",
		before: func(b *bench, target string) { b.must(b.process().removeAll(target)) }},
	{name: "from the trash, over what is live", target: last, token: "old",
		before: func(b *bench, target string) {
			b.must(b.process().removeAll(target))
			b.seed(map[string]content{target: {"third", 3, 0}})
		}},
	{name: "a name of a run that was removed", target: "runs/a/" + last, token: "new",
		before: func(b *bench, _ string) { b.must(b.process().removeAll("runs")) }},
	{name: "a file", target: "last.pth", token: "old", layout: parsedSpread()},
	{name: "a file that was deleted", target: "last.pth", token: "new", layout: parsedSpread(),
		before: func(b *bench, target string) { b.must(b.process().removeAll(target)) }},
	{name: "a group of files", target: "state", token: "old", layout: parsedSpread()},
}

// begin lays out what a case restores from, and returns the version's id.
func (c restoring) begin(b *bench, w way) string {
	b.t.Helper()
	n := 2
	b.cfg.Retention.History.KeepLast = &n
	b.on(w)
	spare := "recovery_checkpoint"
	if c.layout != nil {
		b.layouts, spare = []*layout.Layout{c.layout}, "recovery.pth"
	}
	b.start()
	p := b.process()
	if dir := path.Dir(c.target); dir != "." {
		b.must(p.mkdir(path.Dir(dir)))
		b.must(p.mkdir(dir))
	}
	b.seed(map[string]content{spare: {"spare", 1, 1}, c.target: {"old", 1, 0}})
	b.seed(map[string]content{c.target: {"new", 2, 0}})
	p.exit(0)
	if c.before != nil {
		c.before(b, c.target)
	}
	b.restart()
	b.settle()
	id := b.versions(c.target)[c.token]
	if id == "" {
		b.t.Fatalf("there is no version %q of %s: %v", c.token, c.target, b.versions(c.target))
	}
	return id
}

// A restore makes the version the committed one, keeps what was live in the
// history, and leaves nothing behind.
func TestRestore(t *testing.T) {
	for _, c := range restorings {
		for _, w := range ways {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, t.TempDir())
					defer func() { b.stop() }()
					id := c.begin(b, w)
					was, _ := b.committed(c.target)
					b.must(b.Restore(c.target, id, false))
					synctest.Wait()
					if got, err := b.committed(c.target); err != nil || got != c.token {
						t.Errorf("committed is %q, %v", got, err)
					}
					if got, err := b.process().load(c.target); err != nil || got != c.token {
						t.Errorf("the live name holds %q, %v", got, err)
					}
					earlier := b.versions(c.target)
					if was != "" && earlier[was] == "" {
						t.Errorf("what was live is not kept: %v", earlier)
					}
					if earlier[c.token] != "" {
						t.Errorf("the version is there twice: %v", earlier)
					}
					b.check("restored")
					for _, dir := range []string{stagingDir, journalDir} {
						if left := b.left(dir); len(left) > 0 {
							t.Errorf("%s holds %v", dir, left)
						}
					}
					before := b.belongings()
					b.restart()
					b.settle()
					if diff := cmp.Diff(before, b.belongings()); diff != "" {
						t.Errorf("mounted again (-before +after):\n%s", diff)
					}
				})
			})
		}
	}
}

// A crash at any call of a restore, and at any call of the recovery after it,
// leaves the name with what it held or with what was restored: never without a
// valid version where it had one, and what was live is lost in no case (P2).
func TestCrashWhileRestoring(t *testing.T) {
	for _, c := range restorings {
		for _, w := range []way{ways[0], ways[4]} {
			if w.name != "exchange" && (c.before != nil || c.layout != nil) {
				continue // how directories move makes a difference where two change places
			}
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				t.Parallel()
				for n, through := 0, false; !through && !t.Failed(); n++ {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, t.TempDir())
						defer func() { b.stop() }()
						id := c.begin(b, w)
						was, _ := b.committed(c.target)
						b.disk.stopAfter(n)
						err := b.Restore(c.target, id, false)
						synctest.Wait()
						calls := b.disk.made()
						through = len(calls) <= n
						when := "crashed at the end"
						if !through {
							when = "crashed before " + calls[n]
						}
						b.crash()
						recovered := b.crashRecovery(n)
						b.start()
						b.settle()
						b.restored(when, c, was, err == nil)
						b.check(when)
						for _, dir := range []string{stagingDir, journalDir} {
							if left := b.left(dir); len(left) > 0 {
								t.Errorf("%s: %s holds %v", when, dir, left)
							}
						}
						before := b.belongings()
						b.restart()
						b.settle()
						if diff := cmp.Diff(before, b.belongings()); diff != "" {
							t.Errorf("%s, mounted once more (-before +after):\n%s", when, diff)
						}
						if t.Failed() {
							t.Logf("the calls:\n%s\nof recovery:\n%s", numberedLines(calls), numberedLines(recovered))
						}
					})
				}
			})
		}
	}
}

// restored checks what a name holds after a restore that may have been
// interrupted; done says that it has said it was through.
func (b *bench) restored(when string, c restoring, was string, done bool) {
	b.t.Helper()
	synctest.Wait() // what was restored is removed from the trash in the background
	got, err := b.committed(c.target)
	if err != nil {
		got = ""
	}
	if got != c.token && (done || got != was) {
		b.t.Errorf("%s: committed is %q, %v", when, got, err)
	}
	earlier := b.versions(c.target)
	if got != c.token && earlier[c.token] == "" {
		b.t.Errorf("%s: what was to be restored is gone: %v", when, earlier)
	}
	if was != "" && got != was && earlier[was] == "" {
		b.t.Errorf("%s: what was live is gone: %v", when, earlier)
	}
}

// kept is what belongs to the names, without the trash: of what could not be
// removed from that whole, only the name is lost.
func (b *bench) kept() map[string]string {
	b.t.Helper()
	out := b.belongings()
	maps.DeleteFunc(out, func(what, _ string) bool { return strings.HasSuffix(what, " deleted") })
	return out
}

// Each call of a restore fails once, in turn (P2, P7): who asked hears of it, the
// name holds what it held or what was restored, and asked again it works.
func TestFaultWhileRestoring(t *testing.T) {
	for _, c := range restorings {
		for _, fault := range []error{unix.EIO, unix.ENOSPC} {
			if fault != unix.EIO && (c.before != nil || c.layout != nil) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %v", c.name, fault), func(t *testing.T) {
				t.Parallel()
				for n, through := 0, false; !through && !t.Failed(); n++ {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, t.TempDir())
						defer func() { b.stop() }()
						id := c.begin(b, ways[0])
						was, _ := b.committed(c.target)
						b.disk.failAt(n, fault)
						err := b.Restore(c.target, id, false)
						synctest.Wait()
						calls := b.disk.made()
						b.disk.choose(nil)
						through = len(calls) <= n
						when := "nothing failed"
						if !through {
							when = calls[n] + " failed"
						} else if err != nil {
							t.Fatal(err)
						}
						b.restored(when, c, was, err == nil)
						b.check(when)
						if err != nil {
							b.pass(2 * housekeeping) // what was stuck is undone
							if id := b.versions(c.target)[c.token]; id != "" {
								if err := b.Restore(c.target, id, false); err != nil {
									t.Errorf("%s: asked again: %v", when, err)
								}
							}
							b.restored(when+", asked again", c, was, true)
						}
						before := b.kept()
						b.restart()
						b.settle()
						if diff := cmp.Diff(before, b.kept()); diff != "" {
							t.Errorf("%s, mounted again (-before +after):\n%s", when, diff)
						}
						if t.Failed() {
							t.Logf("the calls:\n%s", numberedLines(calls))
						}
					})
				}
			})
		}
	}
}

// What is damaged, is being saved, or would land on something else is refused.
func TestRestoreRefuses(t *testing.T) {
	begun := func(t *testing.T, f func(b *bench, id string)) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, t.TempDir())
			defer func() { b.stop() }()
			f(b, restorings[0].begin(b, ways[0]))
		})
	}
	refused := func(b *bench, id, why string) {
		b.t.Helper()
		if err := b.Restore(last, id, false); err == nil || !strings.Contains(err.Error(), why) {
			b.t.Errorf("it says %v, not %q", err, why)
		}
		if got, err := b.committed(last); err != nil || got != "new" {
			b.t.Errorf("committed is %q, %v", got, err)
		}
	}
	t.Run("a version that is not there", func(t *testing.T) {
		begun(t, func(b *bench, _ string) { refused(b, "nowhere", "has no earlier version nowhere") })
	})
	t.Run("a damaged version", func(t *testing.T) {
		begun(t, func(b *bench, id string) {
			file := filepath.Join(b.dir, historyDir, id, "pytorch_model.bin")
			data, err := os.ReadFile(file)
			b.must(err)
			data[len(data)/2] ^= 1
			b.must(os.WriteFile(file, data, 0o644))
			refused(b, id, notCommitted)
			b.must(b.Restore(last, id, true))
		})
	})
	t.Run("while it is being saved", func(t *testing.T) {
		begun(t, func(b *bench, id string) {
			p := b.process()
			b.must(p.write(last+"/config.json", []byte(`{"token": "half"}`)))
			refused(b, id, "it is being saved")
			if got, err := p.read(last + "/config.json"); err != nil || !strings.Contains(string(got), "half") {
				t.Errorf("the trainer finds %q, %v", got, err)
			}
		})
	})
	t.Run("where something else is", func(t *testing.T) {
		begun(t, func(b *bench, id string) {
			b.must(b.process().removeAll(last))
			b.must(os.WriteFile(filepath.Join(b.dir, last), nil, 0o644))
			if err := b.Restore(last, id, false); err == nil || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("it says %v", err)
			}
		})
	})
}

// What the policy would delete at once is pinned when it is restored.
func TestRestoreOfWhatThePolicyDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, t.TempDir())
		one := 1
		b.cfg.Retention.MidEpoch = policy.Rule{KeepLast: &one, When: policy.WhenAlways}
		b.start()
		defer func() { b.stop() }()
		for step := byte(1); step <= 3; step++ {
			b.seed(map[string]content{numbered(content{"", 1, step}): {fmt.Sprint("step ", step), 1, step}})
			b.settle()
		}
		first := numbered(content{"", 1, 1})
		id := b.versions(first)["step 1"]
		b.must(b.Restore(first, id, false))
		b.Housekeep()
		if got, err := b.committed(first); err != nil || got != "step 1" {
			t.Fatalf("it was deleted again: %q, %v", got, err)
		}
		b.restart()
		if !b.pinned(first) {
			t.Error("it is not pinned")
		}
		b.must(b.Unpin(first))
		b.Housekeep()
		if _, err := b.committed(first); err == nil {
			t.Error("it is kept although nothing keeps it")
		}
	})
}

// Pins are on the disk when the call returns, and keep a checkpoint and its
// earlier versions (P6).
func TestPins(t *testing.T) {
	inBubble(t, func(b *bench) {
		if err := b.Pin(last, "x"); err == nil {
			t.Error("what is not there was pinned")
		}
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.must(b.Pin(last, "for the paper"))
		b.restart()
		if !b.pinned(last) || b.pinReason(last) != "for the paper" {
			t.Errorf("pinned %v, %q", b.pinned(last), b.pinReason(last))
		}
		p := b.process()
		b.must(p.rename(last, "best_model"))
		if b.pinned(last) || !b.pinned("best_model") {
			t.Error("the pin did not move with the name")
		}
		b.disk.failAt(0, unix.EIO)
		if err := b.Unpin("best_model"); err == nil {
			t.Error("a failed write was not reported")
		}
		b.disk.choose(nil)
		if !b.pinned("best_model") {
			t.Error("it is not pinned in memory, but on the disk")
		}
		b.must(b.Unpin("best_model"))
		if err := b.Unpin("best_model"); err == nil {
			t.Error("what is not pinned was unpinned")
		}
	})
}

// The trash is emptied by hand, but for what its run has left, and what somebody
// has open.
func TestTrashByHand(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{"best_model": {"best", 1, 0}})
		b.pass(time.Second)
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.must(b.process().removeAll("best_model"))
		b.pass(time.Second)
		b.must(b.process().removeAll(last))
		rows := b.Trash().Trash
		if len(rows) != 2 || rows[0].Name != last || !rows[0].Protected || rows[0].ExpiresAt != nil || rows[1].Protected {
			t.Fatalf("the trash holds %+v", rows)
		}
		v := b.trashOldestFirst()[0].version
		v.Hold()
		if err := b.Shred(rows[1].Version, true); err == nil || !strings.Contains(err.Error(), "is open") {
			t.Errorf("what is open: %v", err)
		}
		v.Unhold()
		b.must(b.Shred(rows[1].Version, false))
		if err := b.Shred(rows[0].Version, false); err == nil || !strings.Contains(err.Error(), "newest valid version") {
			t.Errorf("what is protected: %v", err)
		}
		b.must(b.Shred(rows[0].Version, true))
		if left := b.left(trashDir); len(left) > 0 {
			t.Errorf("the trash holds %v", left)
		}
		if err := b.Shred(rows[0].Version, true); err == nil {
			t.Error("it was removed twice")
		}
		if got := b.happened("shred"); !slices.Equal(got, []string{"best_model: the trash was emptied by hand", last + ": the trash was emptied by hand"}) {
			t.Errorf("events: %v", got)
		}
	})
}
