package store

import (
	"testing"
	"time"

	"ckptfs/policy"
)

// rm -r of a checkpoint moves it to the trash once the name itself goes, and the
// views fall to the next best.
func TestDelete(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"older", 1, 0}})
		b.seed(map[string]content{last: {"old", 2, 0}})
		p := b.process()
		for _, name := range checkpointFiles {
			b.must(p.unlink(last + "/" + name))
			b.shows("without "+name, map[string]string{"resume": "old"})
			b.check("without " + name)
		}
		b.must(p.rmdir(last))
		want := map[string]string{"resume": "spare", "latest": "spare", "by-epoch/1": "spare", "by-epoch/2": ""}
		b.shows("deleted", want)
		b.check("deleted")
		if trash := b.left(trashDir); len(trash) != 4 { // two versions with their notes
			t.Errorf("the trash holds %v", trash)
		}
		b.restart()
		b.shows("restarted", want)
	})
}

// A delete that stops half-way leaves the committed version as it was, for the
// views and on the disk.
func TestDeleteHalfWay(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.unlink(last + "/config.json"))
		p.die()
		b.pass(time.Hour)
		b.shows("an hour later", map[string]string{"resume": "old"})
		b.check("an hour later")
		b.restart()
		b.pass(time.Hour)
		b.shows("restarted", map[string]string{"resume": "old"})
		b.check("restarted")
	})
}

// Deleted is deleted: what comes back under the name is a checkpoint of its own.
func TestDeleteAndSaveAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.removeAll(last))
		b.must(p.mkdir(last))
		files := content{"new", 2, 0}.files()
		b.must(p.write(last+"/config.json", files["config.json"]))
		b.pass(time.Hour)
		b.shows("half of the next", map[string]string{"resume": ""})
		b.must(p.save(last, content{"new", 2, 0}))
		b.settle()
		b.shows("saved", map[string]string{"resume": "new", "by-epoch/1": ""})
	})
}

// Trash is emptied after trash_ttl, but not of the newest valid version of a run.
func TestTrashTTL(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*policy.Config)
		delete []string
		left   int // after trash_ttl
	}{
		{"others are left", nil, []string{last}, 0},
		{"the last valid one", nil, []string{last, "recovery_checkpoint"}, 1},
		{"nothing is protected", func(c *policy.Config) { c.Retention.ProtectLast = false }, []string{last, "recovery_checkpoint"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				if c.change != nil {
					b.configure(c.change)
				}
				b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 2, 0}})
				p := b.process()
				for _, name := range c.delete {
					b.must(p.removeAll(name))
					b.pass(time.Second)
				}
				b.pass(b.cfg.Retention.TrashTTL - 2*housekeeping)
				if got := len(b.left(trashDir)); got != 2*len(c.delete) {
					t.Errorf("before trash_ttl the trash holds %d entries", got)
				}
				b.restart() // the age is not counted from the mount
				b.pass(4 * housekeeping)
				if got := len(b.left(trashDir)); got != 2*c.left {
					t.Errorf("after trash_ttl the trash holds %d entries, want %d", got, 2*c.left)
				}
				if c.left == 0 {
					return
				}
				b.pass(24 * time.Hour)
				if got := len(b.left(trashDir)); got != 2*c.left {
					t.Errorf("a day later the trash holds %d entries, want %d", got, 2*c.left)
				}
			})
		})
	}
}

// A version that somebody has a view of open stays readable, and on the disk for
// trash_ttl after he let go of it.
func TestViewHoldsATrashedVersion(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		v := b.version("resume")
		v.Hold()
		b.must(b.process().removeAll(last))
		b.pass(time.Hour)
		if token, err := b.loadVersion(v); err != nil || token != "old" {
			t.Errorf("held, it shows %q, %v", token, err)
		}
		v.Unhold()
		b.pass(2 * housekeeping)
		if left := b.left(trashDir); len(left) != 0 {
			t.Errorf("let go of for a long time, the trash holds %v", left)
		}
		if _, err := b.loadVersion(v); err == nil {
			t.Error("it can still be read")
		}
	})
}

// A name keeps history.keep_last earlier versions; what exceeds them goes to the
// trash.
func TestHistory(t *testing.T) {
	for _, keep := range []int{0, 1, 2} {
		inBubble(t, func(b *bench) {
			b.configure(func(c *policy.Config) { c.Retention.History.KeepLast = &keep })
			for i, token := range []string{"one", "two", "three", "four"} {
				b.seed(map[string]content{last: {token, byte(i + 1), 0}})
			}
			want := map[string]string{"by-epoch/4": "four", "by-epoch/3": "", "by-epoch/2": "", "by-epoch/1": ""}
			for i, token := range []string{"three", "two"}[:keep] {
				want[[]string{"by-epoch/3", "by-epoch/2"}[i]] = token
			}
			b.shows("saved", want)
			if got := len(b.left(historyDir)); got != keep {
				t.Errorf("the history holds %d versions, want %d", got, keep)
			}
			b.restart()
			b.shows("restarted", want)
		})
	}
}

// What is held back stays for incomplete_ttl, and so does a save that never
// becomes complete.
func TestIncompleteTTL(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.mkdir("best_model"))
		b.must(p.write("best_model/config.json", []byte("{}")))
		_, err := p.create("best_model/pytorch_model.bin")
		b.must(err)
		p.die()
		b.pass(b.cfg.Save.IncompleteTTL - time.Hour)
		if len(b.left(stagingDir)) != 1 || len(b.left(quarantineDir)) != 2 || !b.process().exists("best_model") {
			t.Errorf("too early: staging %v, quarantine %v", b.left(stagingDir), b.left(quarantineDir))
		}
		b.restart()
		if len(b.Quarantine()) != 1 {
			t.Errorf("restarted, the quarantine lists %+v", b.Quarantine())
		}
		b.pass(b.cfg.Save.IncompleteTTL + time.Hour)
		if len(b.left(stagingDir)) != 0 || len(b.left(quarantineDir)) != 0 || b.process().exists("best_model") {
			t.Errorf("too late: staging %v, quarantine %v", b.left(stagingDir), b.left(quarantineDir))
		}
		if got := b.happened("discard"); len(got) != 1 {
			t.Errorf("discards: %q", got)
		}
		b.shows("discarded", map[string]string{"resume": "old"})
	})
}
