package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
// being written. Its journal record may be all that a broken disk has kept of it.
func TestFailedCommitIsNotRedone(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken func(op disk.Op) bool // from the sync of the journal on
	}{
		{"one call fails", func(disk.Op) bool { return false }},
		{"the record cannot be taken back", func(op disk.Op) bool { return strings.HasPrefix(string(op), "commit:") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.save(last, content{"one", 2, 0}))
				failed := false
				b.disk.choose(func(n int, op disk.Op) error {
					if failed && c.broken(op) {
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
				b.must(p.truncate(last+"/pytorch_model.bin", 100))
				b.restart()
				b.check("restarted")
				b.shows("restarted", map[string]string{"resume": "old"})
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
