package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// A crash while the trash is being emptied leaves no half of a version that is
// taken for a whole one: it would be the one that is never removed, or restored.
// What was renamed is durable before the first file of it goes, or a power cut
// would bring the name back with other bytes.
func TestCrashWhileTheTrashIsEmptied(t *testing.T) {
	inBubble(t, func(b *bench) {
		for n := 0; ; n++ {
			b.seed(map[string]content{last: {fmt.Sprint(n, " old"), 1, 0}, "recovery_checkpoint": {fmt.Sprint(n, " spare"), 1, 1}})
			b.must(b.process().removeAll(last))
			b.pass(b.cfg.Retention.TrashTTL - housekeeping)
			b.disk.stopAfter(n)
			b.Housekeep()
			b.pass(2 * housekeeping)
			calls := b.disk.made()
			for i, call := range calls {
				if strings.HasPrefix(call, "trash:empty unlink "+trashDir+"/") && strings.Count(call, "/") > 2 {
					if !strings.Contains(strings.Join(calls[:i], "\n"), "trash:sync sync "+trashDir) {
						t.Errorf("files are removed before the trash is durable:\n%s", numberedLines(calls))
					}
					break
				}
			}
			b.restart()
			synctest.Wait()
			rep, err := b.Verify(context.Background(), VerifyOptions{Deep: true, History: true, Trash: true})
			b.must(err)
			for _, v := range rep.Checkpoints {
				if damage := v.Damage(); len(damage) > 0 {
					t.Errorf("crashed after call %d: %s, %s: %v", n, v.Name, v.State, damage)
				}
			}
			for _, entry := range b.trash {
				if whole := checkWhole(filepath.Join(b.dir, entry.path())); entry.Valid && whole != nil {
					t.Errorf("crashed after call %d: a half-removed version counts as valid: %v", n, whole)
				}
			}
			b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
			if left := b.left(trashDir); len(left) > 0 {
				t.Errorf("crashed after call %d: the trash keeps %v", n, left)
			}
			if len(calls) <= n {
				return
			}
		}
	})
}

func checkWhole(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = loadWhole(root.ReadFile)
	return err
}

// The note of what was deleted is not synced. Where a power cut took it, the
// manifest says whose the version was, so that the last one of a run is kept.
func TestTrashWithoutItsNote(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.must(os.Mkdir(filepath.Join(b.dir, "codebert"), 0o755))
		b.seed(map[string]content{last: {"other run", 1, 0}, "codebert/" + last: {"only one", 1, 0}})
		b.must(b.process().removeAll("codebert/" + last))
		b.crash()
		for _, name := range b.left(trashDir) {
			if strings.HasSuffix(name, ".json") {
				b.must(os.Truncate(filepath.Join(b.dir, trashDir, name), 0))
			}
		}
		b.must(os.WriteFile(filepath.Join(b.dir, trashDir, "stale.json"), []byte("{}"), 0o600))
		b.start()
		b.pass(2 * b.cfg.Retention.TrashTTL)
		if left := b.left(trashDir); len(left) != 2 {
			t.Errorf("the trash keeps %v", left)
		}
		if len(b.trash) != 1 || b.trash[0].Run != "codebert" || b.trash[0].Name != last {
			t.Fatalf("the trash holds %+v", b.trash)
		}
		if token, err := b.loadVersion(b.trash[0].version); err != nil || token != "only one" {
			t.Errorf("the last version of the run is %q, %v", token, err)
		}
	})
}

// slowDisk takes its time to give the blocks of a file back.
type slowDisk struct{ disk.Disk }

const slow = 100 * time.Millisecond

// Truncate implements disk.Disk.
func (d slowDisk) Truncate(op disk.Op, f *os.File, size int64) error {
	time.Sleep(slow)
	return d.Disk.Truncate(op, f, size)
}

// discard deletes a checkpoint on a slow disk whose largest file has so many
// pieces, and begins to empty the trash.
func (b *bench) discard(pieces int, busy bool) {
	b.t.Helper()
	b.over = func(d disk.Disk) disk.Disk { return slowDisk{d} }
	b.configure(func(c *policy.Config) { c.Retention.TrashTTL = 0 })
	b.shredding.piece = 64 << 10 // more than any other file has
	b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
	p := b.process()
	b.must(p.write(last+"/log.txt", make([]byte, pieces*int(b.shredding.piece))))
	b.settle()
	b.Housekeep()
	b.pass(0)
	if busy {
		_, err := b.process().create("recovery_checkpoint/config.json")
		b.must(err)
	}
	b.must(p.removeAll(last))
	b.Housekeep()
}

// Large files go a piece at a time, each after a rest that keeps it to a share of
// the time, so that no save waits long for the disk.
func TestLargeFilesGoInPieces(t *testing.T) {
	for _, c := range []struct {
		name    string
		writing bool
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"nothing is saved", false, 2 * 9 * slow, 3 * 9 * slow},
		{"a save is written", true, 9 * impatience, 10*impatience + 12*slow},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.discard(10, c.writing)
				cut := 0
				b.pass(c.atLeast - slow)
				for _, call := range b.disk.made() {
					if strings.HasPrefix(call, "trash:empty truncate") {
						cut++
					}
				}
				if len(b.left(trashDir)) == 0 || cut < 8 {
					t.Errorf("after %s %d pieces are cut off and %v is left", c.atLeast-slow, cut, b.left(trashDir))
				}
				b.pass(c.atMost - c.atLeast + slow)
				if left := b.left(trashDir); len(left) > 0 {
					t.Errorf("after %s %v is left", c.atMost, left)
				}
				if got := b.happened("shred"); len(got) == 0 {
					t.Error("it is not reported")
				}
			})
		})
	}
}

// Who has a file open goes on reading it, whatever becomes of the checkpoint: its
// bytes stay until it is closed.
func TestOpenFilesAreNotCut(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		data := []byte(strings.Repeat("0123456789abcdef", 16<<10))
		p := b.process()
		b.must(p.write(last+"/log.txt", data))
		b.settle()
		f, err := os.Open(b.backing(last + "/log.txt")) // as the kernel has it, with passthrough
		b.must(err)
		defer f.Close()
		b.shredding.piece = 64 << 10 // more than any other file has
		b.must(p.removeAll(last))
		b.pass(2 * b.cfg.Retention.TrashTTL)
		if left := b.left(trashDir); len(left) > 0 {
			t.Fatalf("the trash keeps %v", left)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != string(data) {
			t.Errorf("%d bytes of %d can be read, %v", len(got), len(data), err)
		}
	})
}

// Who waits for space waits for no rest; and an unmount does not wait until the
// trash is empty.
func TestNobodyWaitsForARest(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.discard(100, true)
		b.pass(10 * time.Second) // in the middle of a rest
		began := time.Now()
		b.room.making.Lock()
		b.freeUp(nil, func() bool { return len(b.left(trashDir)) == 0 })
		b.room.making.Unlock()
		if took := time.Since(began); took > 100*slow || took < 90*slow {
			t.Errorf("it took %s to remove 100 pieces of %s each, most of them at once", took, slow)
		}
		if left := b.left(trashDir); len(left) > 0 {
			t.Errorf("the trash keeps %v", left)
		}
	})
	inBubble(t, func(b *bench) {
		b.discard(100, false)
		b.pass(time.Second)
		began := time.Now()
		b.stop()
		if took := time.Since(began); took > 2*slow {
			t.Errorf("it took %s to close", took)
		}
		b.start()
		b.pass(time.Minute)
		if left := b.left(trashDir); len(left) > 0 {
			t.Errorf("after the next mount the trash keeps %v", left)
		}
	})
}

// A rest is as long as the work, and never longer than its bound; while a save is
// written or committed, and for a moment afterwards, it is much longer.
func TestRest(t *testing.T) {
	inBubble(t, func(b *bench) {
		rest := func(took time.Duration) time.Duration {
			began := time.Now()
			b.must(b.rest(took))
			return time.Since(began)
		}
		if got := rest(slow); got != slow {
			t.Errorf("a rest of %s", got)
		}
		if got := rest(time.Hour); got != longest {
			t.Errorf("after a long piece a rest of %s", got)
		}
		b.committing.Add(1)
		if got := rest(slow); got != impatience {
			t.Errorf("while a save is committed a rest of %s", got)
		}
		b.shredding.waiters.Add(1)
		if got := rest(slow); got != 0 {
			t.Errorf("while somebody waits for space a rest of %s", got)
		}
		b.shredding.waiters.Add(-1)
		b.committing.Add(-1)
		b.noteSaved()
		if got := rest(slow); got != afterSave {
			t.Errorf("after a save a rest of %s", got)
		}
		time.AfterFunc(2*time.Second, func() {
			b.noteSaved()
			b.committing.Add(-1)
		})
		b.committing.Add(1)
		if got := rest(slow); got != 3*time.Second {
			t.Errorf("while a save takes two seconds a rest of %s", got)
		}
		closed := b.Store
		b.stop()
		if err := closed.rest(0); !errors.Is(err, errStopped) {
			t.Errorf("after the end: %v", err)
		}
		b.start()
	})
}
