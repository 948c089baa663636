package store

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ckptfs/policy"
)

// What is damaged is resolved by no view from the moment it is found (P1), says so
// wherever checkpoints are listed, stays where it is, and is whole again when the
// file is. The mark outlives a crash.
func TestDamaged(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"last", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		file := b.backing(last + "/" + weights)
		good, err := os.ReadFile(file)
		b.must(err)
		b.must(flipByte(file))
		if found := b.verify(VerifyOptions{Deep: true})["invalid "+last]; found != notCommitted {
			t.Fatalf("found is %q", found)
		}
		spare := map[string]string{"resume": "spare", "latest": "spare", "by-epoch/1": "spare", "by-step/10": ""}
		marked := func(when string) {
			t.Helper()
			b.shows(when, spare)
			row := b.rowOf(last)
			if row.State != policy.Invalid || !row.Damaged || !strings.Contains(row.Reason, rotten) {
				t.Errorf("%s: ls says %+v", when, row)
			}
			skipped := b.Explain()[0].Views["resume"].Skipped
			if len(skipped) != 1 || skipped[0].Name != last || !strings.Contains(skipped[0].Reason, rotten) {
				t.Errorf("%s: explain says that resume/ skipped %v", when, skipped)
			}
			if hints := strings.Join(b.Status().Runs[0].Hints, "\n"); !strings.Contains(hints, rotten) {
				t.Errorf("%s: status hints %q", when, hints)
			}
			if x := b.Xattrs(last); x["user.ckptfs.state"] != "invalid" || !strings.Contains(x["user.ckptfs.reason"], rotten) {
				t.Errorf("%s: its attributes are %v", when, x)
			}
			if got := b.verify(VerifyOptions{})["invalid "+last]; !strings.HasPrefix(got, notCommitted) {
				t.Errorf("%s: a look at the structure makes it %q", when, got)
			}
		}
		marked("found")
		if events := b.happened("invalid"); len(events) != 1 {
			t.Errorf("events: %q", events)
		}
		b.restart()
		marked("after a crash")
		b.must(os.Chtimes(file, time.Now(), time.Now()))
		b.restart()
		b.pass(0)
		marked("touched while nothing was mounted")

		b.must(os.WriteFile(file, good, 0o644))
		b.restart()
		b.pass(0)
		whole := map[string]string{"resume": "last", "by-epoch/1": "last"}
		b.shows("copied back while nothing was mounted", whole)
		if events := b.happened("valid"); len(events) != 1 {
			t.Errorf("events: %q", events)
		}
		b.restart()
		b.shows("mounted again", whole)

		b.must(flipByte(file))
		b.verify(VerifyOptions{Deep: true})
		b.shows("damaged again", spare)
		b.must(flipByte(file)) // as one copies it back, with its time
		if found := b.verify(VerifyOptions{Deep: true}); found["committed "+last] != "" {
			t.Errorf("copied back, but %q", found)
		}
		b.shows("copied back and verified", whole)
		b.restart()
		b.shows("mounted again", whole)
	})
}

// A changed mark moves with the checkpoint: a rename keeps it, and a run's.
func TestDamagedIsRenamed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.must(os.Mkdir(b.backing("run"), 0o755))
		c := content{"mid", 1, 4}
		b.seed(map[string]content{"run/" + numbered(c): c, "run/" + last: {"last", 1, 0}})
		b.must(flipByte(b.backing("run/" + numbered(c) + "/" + weights)))
		b.verify(VerifyOptions{Deep: true})
		b.shows("found", map[string]string{"run/latest": "last"})
		p := b.process()
		b.must(p.rename("run/"+numbered(c), "run/checkpoint_epoch2_step4"))
		b.must(p.rename("run", "moved"))
		for _, when := range []string{"renamed", "mounted again"} {
			b.shows(when, map[string]string{"moved/latest": "last"})
			if row := b.rowOf("checkpoint_epoch2_step4"); !row.Damaged {
				t.Errorf("%s: %+v", when, row)
			}
			b.restart()
		}
	})
}

// P6: what is damaged is not one of those that a rule keeps, and no rule, limit or
// want of space deletes it.
func TestDamagedIsNeitherKeptNorDeleted(t *testing.T) {
	inBubble(t, func(b *bench) {
		saves := map[string]content{}
		for step := byte(1); step <= 4; step++ {
			c := content{fmt.Sprint(step), 1, step}
			saves[numbered(c)] = c
		}
		b.seed(saves)
		newest := numbered(content{"", 1, 4})
		b.must(flipByte(b.backing(newest + "/" + weights)))
		b.verify(VerifyOptions{Deep: true})
		b.configure(func(c *policy.Config) {
			c.Retention.MidEpoch = policy.Rule{KeepLast: new(2), When: policy.WhenAlways}
			c.Retention.MaxTotal = policy.Share{Bytes: 1}
		})
		b.Housekeep()
		b.pass(0)
		got := strings.Join(b.names(), " ")
		if want := "checkpoint_epoch1_step2 checkpoint_epoch1_step3 " + newest; got != want {
			t.Errorf("left are %q, want %q", got, want)
		}
		b.relieve(nil, "", 1<<62, nil)
		if _, err := os.Stat(b.backing(newest)); err != nil {
			t.Errorf("space was short: %v", err)
		}
	})
}

// A save that still holds the damaged file is not whole. One that has written it
// anew is, and what it replaces goes to the trash, not to the history.
func TestSaveOverDamage(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		b.must(flipByte(b.backing(last + "/" + weights)))
		b.verify(VerifyOptions{Deep: true})

		p := b.process()
		b.must(p.write(last+"/config.json", content{"new", 2, 0}.files()["config.json"]))
		b.must(p.write(last+"/training_state.pth", content{"new", 2, 0}.files()["training_state.pth"]))
		p.exit(0)
		b.settle()
		b.pass(time.Minute)
		b.shows("all but the damaged file was written", map[string]string{"resume": "spare"})
		if saves := b.Status().Runs[0].Saves; len(saves) != 1 || !strings.Contains(strings.Join(saves[0].Missing, "; "), "has found damaged") {
			t.Errorf("the save waits for %+v", saves)
		}
		p = b.process()
		b.must(p.save(last, content{"new", 2, 0}))
		b.settle()
		b.shows("saved", map[string]string{"resume": "new", "latest": "new"})
		if kept := b.left(historyDir); len(kept) > 0 {
			t.Errorf("the history keeps %v", kept)
		}
		if row := b.rowOf(last); row.Damaged || row.State != policy.Committed {
			t.Errorf("ls says %+v", row)
		}
		b.check("saved")
		b.restart()
		b.shows("mounted again", map[string]string{"resume": "new"})
	})
}

// The same content saved again is no save, unless what is there is damaged.
func TestSameContentOverDamage(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.must(flipByte(b.backing(last + "/" + weights)))
		b.verify(VerifyOptions{Deep: true})
		b.must(b.process().save(last, content{"old", 1, 0}))
		b.settle()
		b.shows("saved", map[string]string{"resume": "old"})
	})
}

// Wherever ckptfs crashes, or the power is cut, while it marks something, the next
// mount shows it damaged or has to find it again; and wherever that happens while it
// takes the mark away, no view shows anything torn. What was marked stays so.
func TestCrashWhileMarking(t *testing.T) {
	t.Run("killed", func(t *testing.T) { crashWhileMarking(t, func(b *bench, _ int) { b.restart() }) })
	t.Run("power cut", func(t *testing.T) {
		crashWhileMarking(t, func(b *bench, n int) {
			b.crash()
			b.must(b.tearUnsynced([]tear{cutInHalf, emptied, zeroed}[n%3]))
			b.boot = fmt.Sprint("boot ", n)
			b.start()
		})
	})
}

func crashWhileMarking(t *testing.T, down func(b *bench, n int)) {
	inBubble(t, func(b *bench) {
		for n := 0; ; n++ {
			name := fmt.Sprintf("checkpoint_epoch1_step%d", n%100+1)
			b.seed(map[string]content{name: {fmt.Sprint(n), 1, byte(n%100 + 1)}})
			file := b.backing(name + "/" + weights)
			for _, round := range []string{"damaged", "whole"} {
				b.must(flipByte(file))
				b.disk.stopAfter(n)
				_, _ = b.Verify(context.Background(), VerifyOptions{Deep: true, Path: name}) // the disk refuses everything by then
				calls := b.disk.made()
				down(b, n)
				found := b.verify(VerifyOptions{Deep: true, Path: name})
				want := map[string]string{"damaged": "invalid ", "whole": "committed "}[round] + name
				if _, ok := found[want]; !ok || len(found) != 1 {
					b.t.Fatalf("%s, crashed after call %d: found %q", round, n, found)
				}
				down(b, n)
				if row := b.rowOf(name); row.Damaged != (round == "damaged") {
					b.t.Fatalf("%s, crashed after call %d, mounted again: %+v", round, n, row)
				}
				if round == "whole" && len(calls) <= n {
					return
				}
			}
			b.must(b.process().removeAll(name))
		}
	})
}

// However a trainer replaces a checkpoint that is damaged: the views show the new
// one, and what was damaged is in the trash, not among the earlier versions.
func TestEveryPatternOverDamage(t *testing.T) {
	for _, pattern := range allPatterns() {
		if pattern.name == "in place, new" {
			continue // replaces nothing
		}
		t.Run(pattern.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, t.TempDir())
				b.use(pattern)
				b.start()
				defer b.stop()
				b.seed(map[string]content{pattern.spare(): {"spare", 1, 1}, pattern.last(): {"old", 1, 0}})
				v := b.named(pattern.last()).committed
				b.must(flipByte(b.backing(path.Join(v.where(), v.Files[len(v.Files)-1].Path))))
				b.verify(VerifyOptions{Deep: true})
				b.shows("found", map[string]string{"latest": "spare"})
				b.must(b.checkViews())
				p := b.process()
				b.must(pattern.save(p, content{"new", 2, 0}))
				b.must(b.checkViews())
				b.settle()
				b.shows("settled", map[string]string{"latest": "new"})
				b.check("settled")
				if kept := b.left(historyDir); len(kept) > 0 {
					t.Errorf("the history keeps %v", kept)
				}
				b.restart()
				b.shows("mounted again", map[string]string{"latest": "new"})
				for _, r := range b.List(true).Runs {
					for _, row := range r.Checkpoints {
						if row.Damaged && row.State != policy.Trash {
							t.Errorf("%+v", row)
						}
					}
				}
				b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
				if left := b.left(trashDir); len(left) > 0 {
					t.Errorf("the trash keeps %v", left)
				}
			})
		})
	}
}
