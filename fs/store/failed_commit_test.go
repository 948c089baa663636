package store

import (
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
// being written.
func TestFailedCommitIsNotRedone(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.save(last, content{"one", 2, 0}))
		failed := false
		b.disk.choose(func(_ int, op disk.Op) error {
			if made := b.disk.calls; op == "commit:journal" && strings.Contains(made[len(made)-1], "sync") && !failed {
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
		a, err := b.Lookup(last+"/pytorch_model.bin", p.tgid)
		b.must(err)
		_, err = b.SetAttr(last+"/pytorch_model.bin", a.Ident, nil, Change{Size: new(int64(100))}, p.caller())
		b.must(err)
		b.restart()
		b.check("restarted")
		b.shows("restarted", map[string]string{"resume": "old"})
	})
}
