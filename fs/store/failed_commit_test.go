package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A commit that fails holds nobody up who waits for it: the rmdir of the backup
// concludes the save that replaced it first.
func TestFailedCommitHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.save(tmp, content{"new", 2, 0}))
		b.must(p.rename(last, backup))
		b.disk.choose(func(_ int, op disk.Op) error {
			if op == "commit:manifest" {
				return unix.EIO
			}
			return nil
		})
		b.must(p.rename(tmp, last))
		start := time.Now()
		err := p.removeAll(backup)
		if took := time.Since(start); took > 5*time.Second || err != nil {
			t.Errorf("the removal took %v: %v", took, err)
		}
		b.shows("the commit fails", map[string]string{"resume": "old"})
	})
}

// A commit that was given up is not finished by recovery: what is staged goes on
// being written. As long as its journal record cannot be taken back, nothing is:
// recovery finishes what the record describes, or nothing.
func TestFailedCommitIsNotRedone(t *testing.T) {
	for _, c := range []struct {
		name    string
		broken  bool // from the sync of the journal on
		outside func(staged string) error
		resume  string
	}{
		{name: "one call fails", resume: "old"},
		{name: "the record cannot be taken back", broken: true, resume: "one"},
		{name: "nor is it true any more", broken: true, resume: "old", outside: func(staged string) error { return os.Truncate(staged, 100) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.save(last, content{"one", 2, 0}))
				failed := false
				b.disk.choose(func(n int, op disk.Op) error {
					if failed && c.broken && strings.HasPrefix(string(op), "commit:") {
						return unix.EIO
					}
					if op == "commit:journal" && strings.Contains(b.disk.made()[n], " sync ") && !failed {
						failed = true
						return unix.EIO
					}
					return nil
				})
				b.settle()
				if !failed {
					t.Fatal("no journal record was synced")
				}
				b.shows("failed", map[string]string{"resume": "old"})
				// The last file that was written: to change it begins no new attempt.
				if err := p.truncate(last+"/training_state.pth", 100); c.broken != errors.Is(err, unix.EIO) {
					t.Errorf("the next change: %v", err)
				}
				if c.outside != nil {
					staged, err := filepath.Glob(filepath.Join(b.dir, stagingDir, "*", "tree", "pytorch_model.bin"))
					b.must(err)
					b.must(c.outside(staged[0]))
				}
				b.restart()
				b.check("restarted")
				b.shows("restarted", map[string]string{"resume": c.resume})
			})
		})
	}
}

// What is committed is what was judged: a file that changes in between, by a
// mapping that outlives its lease test, say, stops the commit.
func TestChangeDuringACommit(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.must(b.process().save(last, content{"new", 2, 0}))
		commit := b.disk.holdAt("commit:sync")
		b.settle()
		staged, err := filepath.Glob(filepath.Join(b.dir, stagingDir, "*", "tree", "pytorch_model.bin"))
		b.must(err)
		b.must(os.Truncate(staged[0], 1000))
		commit()
		b.settle()
		b.shows("changed", map[string]string{"resume": "old"})
		b.check("changed")
		if got := b.happened("commit-failed"); len(got) == 0 || !strings.Contains(got[0], "pytorch_model.bin changed") {
			t.Errorf("failed commits: %q", got)
		}
	})
}

// The disk breaks at any call of a commit, and stays broken, so that the swap can
// be neither carried out nor undone (P2, P7). The views go on showing the version
// before, wherever it lies by then; nothing is changed under the name; a day
// later nothing has expired that holds it. Once the disk works again the name can
// be used again, without a mount or with one.
func TestSwapAndUndoFail(t *testing.T) {
	for _, w := range ways {
		for _, remount := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, remount %v", w.name, remount), func(t *testing.T) {
				t.Parallel()
				for n, through := 0, false; !through && !t.Failed(); n++ {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, t.TempDir())
						b.on(w)
						b.start()
						defer b.stop()
						through = b.breakAt(n, remount)
					})
				}
			})
		}
	}
}

// breakAt breaks the disk at the n-th call of the swap of a commit; it reports
// whether the commit was through by then.
func (b *bench) breakAt(n int, remount bool) (through bool) {
	b.seed(map[string]content{last: {"old", 1, 0}})
	p := b.process()
	b.must(p.save(last, content{"new", 2, 0}))
	calls := 0
	call := "none"
	b.disk.choose(func(i int, op disk.Op) error {
		if step := string(op); calls > 0 || step == "commit:swap" || step == "commit:away" {
			if calls++; calls > n {
				if call == "none" {
					call = b.disk.lastCall()
				}
				return unix.EIO
			}
		}
		return nil
	})
	b.settle()
	if call == "none" {
		return true
	}
	when := "broken at " + call
	shown, err := b.view("resume")
	if err != nil || shown != "old" && shown != "new" {
		b.t.Errorf("%s: resume/ shows %q, %v", when, shown, err)
	}
	if err := b.checkViews(); err != nil {
		b.t.Errorf("%s: %v", when, err)
	}
	if err := p.truncate(last+"/pytorch_model.bin", 100); err == nil {
		b.t.Errorf("%s: a file was changed", when)
	}
	p.exit(1)
	b.pass(b.cfg.Save.IncompleteTTL + time.Hour)
	b.shows(when+", a day later", map[string]string{"resume": shown})
	allowed := []string{shown}
	if remount {
		b.restart() // rolls forward what can be
		allowed = append(allowed, "new")
	} else {
		b.disk.choose(nil)
		b.pass(2 * housekeeping)
	}
	b.settle()
	b.sane(when+", working again", allowed)
	b.must(b.process().save(last, content{"next", 3, 0}))
	b.settle()
	b.sane(when+", saved again", []string{"next"})
	b.restart()
	b.sane(when+", mounted again", []string{"next"})
	if left := b.left(journalDir); len(left) > 0 {
		b.t.Errorf("%s: the journal holds %v", when, left)
	}
	return false
}

// An fsync that comes while a commit is under way hears how it ended, also when a
// newer save has taken its content over by then (P7).
func TestFsyncHearsOfAFailedCommit(t *testing.T) {
	for _, c := range []struct {
		name string
		next bool // the trainer goes on writing meanwhile
	}{
		{"nothing else happens", false},
		{"the next save has begun", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.save(last, content{"new", 2, 0}))
				reached, release := make(chan struct{}), make(chan struct{})
				var once sync.Once
				b.disk.choose(func(_ int, op disk.Op) error {
					if op != "commit:manifest" {
						return nil
					}
					once.Do(func() { close(reached) })
					<-release
					return unix.EIO
				})
				first, second := make(chan error, 1), make(chan error, 1)
				go func() { first <- b.SyncDir(last) }()
				<-reached
				if c.next {
					b.must(p.write(last+"/config.json", content{"next", 3, 0}.files()["config.json"]))
				} else {
					go func() { second <- b.SyncDir(last) }()
					synctest.Wait()
				}
				close(release)
				if err := <-first; !errors.Is(err, unix.EIO) {
					t.Errorf("the fsync that asked for it says %v", err)
				}
				if !c.next {
					if err := <-second; !errors.Is(err, unix.EIO) {
						t.Errorf("the fsync that came later says %v", err)
					}
				}
				b.shows("failed", map[string]string{"resume": "old"})
			})
		})
	}
}
