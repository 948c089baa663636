package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// A save that only removes files and leaves no checkpoint is committed as a
// removal after a while: what was committed goes to the trash, where the newest
// valid version of a run stays (P6), and no view resolves to what is left (P1).
func TestRemovals(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 2, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		b.must(b.process().unlink(last + "/training_state.pth"))
		b.pass(patience - 2*time.Second)
		b.shows("not quiet for long enough", map[string]string{"resume": "old"})
		b.pass(4 * time.Second)
		for range 2 {
			b.shows("removed", map[string]string{"resume": "spare", "latest": "spare", "by-epoch/2": ""})
			if row := b.row(last); row.State != policy.Invalid || !strings.Contains(row.Reason, "training_state.pth was removed") && !strings.Contains(row.Reason, "training_state.pth is missing") {
				t.Errorf("it is listed as %+v", row)
			}
			left, err := os.ReadDir(filepath.Join(b.dir, last))
			if err != nil || len(left) != 2 {
				t.Errorf("the plain directory holds %v, %v", left, err)
			}
			if got := len(b.left(trashDir)); got != 2 {
				t.Errorf("the trash holds %d entries", got)
			}
			if left := b.left(stagingDir); len(left) > 0 {
				t.Errorf("staging holds %v", left)
			}
			b.restart()
		}
		b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
		if left := b.left(trashDir); len(left) != 0 {
			t.Errorf("after trash_ttl the trash holds %v", left)
		}
		b.must(b.process().save(last, content{"new", 3, 0}))
		b.settle()
		b.shows("saved again", map[string]string{"resume": "new"})
		b.check("saved again")
	})
}

func (b *bench) row(name string) CheckpointRow {
	b.t.Helper()
	for _, row := range b.List(false).Runs[0].Checkpoints {
		if row.Name == name {
			return row
		}
	}
	b.t.Fatalf("%s is not listed", name)
	return CheckpointRow{}
}

// The newest valid version of a run is never lost by a removal.
func TestRemovalOfTheLastValidOne(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 2, 0}})
		p := b.process()
		for _, name := range checkpointFiles {
			b.must(p.unlink(last + "/" + name))
		}
		b.pass(2 * patience)
		b.shows("removed", map[string]string{"resume": ""})
		b.pass(24 * time.Hour)
		b.restart()
		b.pass(24 * time.Hour)
		if got := len(b.left(trashDir)); got != 2 {
			t.Fatalf("the trash holds %d entries", got)
		}
		if token, err := b.loadVersion(b.trash[0].version); err != nil || token != "old" {
			t.Errorf("the trash has %q, %v", token, err)
		}
		b.must(p.rmdir(last))
		if p.exists(last) {
			t.Error("what is left could not be deleted")
		}
	})
}

// What is no removal, or not yet.
func TestNoRemoval(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(b *bench, p *process)
		resume string
	}{
		{"who removed was killed", func(b *bench, p *process) {
			b.must(p.unlink(last + "/config.json"))
			p.die()
		}, "old"},
		{"one file is removed, one rewritten", func(b *bench, p *process) {
			b.must(p.unlink(last + "/config.json"))
			b.must(p.write(last+"/pytorch_model.bin", content{"new", 2, 0}.files()["pytorch_model.bin"]))
		}, "old"},
		{"a stranger is removed", func(b *bench, p *process) { b.must(p.unlink(last + "/notes.txt")) }, "old"},
		{"the removed file comes back", func(b *bench, p *process) {
			b.must(p.unlink(last + "/config.json"))
			b.pass(10 * time.Second)
			b.must(p.save(last, content{"new", 2, 0}))
		}, "new"},
		{"the daemon is killed", func(b *bench, p *process) {
			b.must(p.unlink(last + "/config.json"))
			b.restart()
		}, "old"},
		{"it is all deleted", func(b *bench, p *process) { b.must(p.removeAll(last)) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				p := b.process()
				b.must(p.save(last, content{"old", 1, 0}))
				b.must(p.write(last+"/notes.txt", []byte("notes")))
				b.settle()
				c.do(b, b.process())
				b.pass(time.Hour)
				b.shows("an hour later", map[string]string{"resume": c.resume})
				if got := b.happened("remove"); len(got) > 0 {
					t.Errorf("removals: %q", got)
				}
				b.check("an hour later")
			})
		})
	}
}

// An unmount does not wait: what was removed by processes that have exited with
// 0 is removed.
func TestRemovalAtUnmount(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 2, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		p := b.process()
		b.must(p.unlink(last + "/config.json"))
		b.Settle(context.Background(), nil)
		b.shows("it lives", map[string]string{"resume": "old"})
		p.exit(0)
		b.Settle(context.Background(), nil)
		b.pass(time.Second)
		b.shows("it has exited", map[string]string{"resume": "spare"})
	})
}

// Files that are not core: added ones commit after settling; overwritten ones
// wait for the core files, for the exits, or for the user's word, and not for an
// fsync, which may be that of a trainer in the middle of a save (P1).
func TestFilesThatAreNotCore(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(b *bench, p *process)
		want string // what the version has of notes.txt
	}{
		{"added", func(b *bench, p *process) { b.must(p.write(last+"/more.txt", []byte("x"))) }, "one"},
		{"overwritten", func(b *bench, p *process) { b.must(p.write(last+"/notes.txt", []byte("two"))) }, "one"},
		{"overwritten, and the exit", func(b *bench, p *process) {
			b.must(p.write(last+"/notes.txt", []byte("two")))
			p.exit(0)
		}, "two"},
		{"overwritten, and a death", func(b *bench, p *process) {
			b.must(p.write(last+"/notes.txt", []byte("two")))
			p.die()
		}, "one"},
		{"overwritten, and the core files", func(b *bench, p *process) {
			b.must(p.write(last+"/notes.txt", []byte("two")))
			b.must(p.save(last, content{"new", 2, 0}))
		}, "two"},
		{"overwritten, and an fsync", func(b *bench, p *process) {
			b.must(p.write(last+"/notes.txt", []byte("two")))
			b.must(b.SyncDir(last))
		}, "one"},
		{"overwritten, and the user's word", func(b *bench, p *process) {
			b.must(p.write(last+"/notes.txt", []byte("two")))
			b.must(b.Commit(last, false))
		}, "two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				p := b.process()
				b.must(p.save(last, content{"old", 1, 0}))
				b.must(p.write(last+"/notes.txt", []byte("one")))
				b.settle()
				p.exit(0)
				c.do(b, b.process())
				b.settle()
				if got := b.committedFile("resume", "notes.txt"); got != c.want {
					t.Errorf("the version has %q", got)
				}
				if c.name == "added" && b.committedFile("resume", "more.txt") != "x" {
					t.Error("the version lacks what was added")
				}
				b.check("settled")
			})
		})
	}
}

// A removal that could not be committed is none any more once the files are written
// anew.
func TestRemovalThatFailed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 2, 0}})
		b.must(b.process().unlink(last + "/training_state.pth"))
		b.disk.choose(func(_ int, op disk.Op) error {
			if op == "commit:journal" {
				return unix.EIO
			}
			return nil
		})
		b.pass(patience + time.Second)
		b.disk.choose(nil)
		if got := b.happened("commit-failed"); len(got) != 1 {
			t.Fatalf("it did not fail: %v", got)
		}
		b.must(b.process().save(last, content{"new", 3, 0}))
		b.settle()
		b.shows("written anew", map[string]string{"resume": "new"})
		b.check("written anew")
	})
}
