package store

import (
	"context"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// Who says that a save is complete has it committed without settling, and hears
// what is missing when it is not.
func TestBoundaries(t *testing.T) {
	type boundary struct {
		name string
		say  func(b *bench) error
	}
	for _, c := range []boundary{
		{"fsync of the checkpoint", func(b *bench) error { return b.SyncDir(last) }},
		{"fsync of the run", func(b *bench) error { return b.SyncDir("") }},
		{"commit", func(b *bench) error { return b.Commit(last, false) }},
		{"an unmount", func(b *bench) error { b.Settle(context.Background(), nil); return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.save(last, content{"new", 2, 0}))
				start := time.Now()
				b.must(c.say(b))
				if took := time.Since(start); took >= b.cfg.Save.Settle {
					t.Errorf("it took %v", took)
				}
				b.shows("said", map[string]string{"resume": "new"})
				b.crash()
				b.start()
				b.shows("after a crash", map[string]string{"resume": "new"})
			})
		})
	}
}

// A file can be written for a moment after its last close: the kernel lets go of
// it later. Who was told that a save is through must not lose it in that moment.
func TestBoundaryWaitsForTheKernel(t *testing.T) {
	for _, c := range []struct {
		name       string
		durability string
		say        func(b *bench, p *process) error
	}{
		{"fsync of the checkpoint", "async", func(b *bench, _ *process) error { return b.SyncDir(last) }},
		{"fsync of the run", "async", func(b *bench, _ *process) error { return b.SyncDir("") }},
		{"commit", "async", func(b *bench, _ *process) error { return b.Commit(last, false) }},
		{"removal of another", "async", func(_ *bench, p *process) error { return p.removeAll("recovery_checkpoint") }},
		{"the last close", "close", func(_ *bench, p *process) error {
			return p.write(last+"/training_state.pth", content{"new", 2, 0}.files()["training_state.pth"])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.configure(func(cfg *policy.Config) { cfg.Save.Durability = c.durability })
				b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
				p := b.process()
				files := content{"new", 2, 0}.files()
				for _, name := range checkpointFiles {
					if c.durability != "close" || name != "training_state.pth" {
						b.must(p.write(last+"/"+name, files[name]))
					}
				}
				staged := globbed(b.dir, stagingDir+"/*/tree/config.json")
				if len(staged) != 1 {
					t.Fatalf("staged are %v", staged)
				}
				held, err := os.OpenFile(staged[0], os.O_WRONLY, 0)
				b.must(err)
				time.AfterFunc(100*time.Millisecond, func() { held.Close() })
				start := time.Now()
				b.must(c.say(b, p))
				if took := time.Since(start); took >= b.cfg.Save.Settle {
					t.Errorf("it took %v", took)
				}
				b.restart()
				b.shows("said", map[string]string{"resume": "new"})
			})
		})
	}
}

// The kernel may tell late that a file was closed, and a child may hold it open. An
// fsync waits for that, as long as a commit would, and then commits.
func TestFsyncOutlastsALateRelease(t *testing.T) {
	for _, lives := range []time.Duration{2 * time.Second, lingers - time.Second, time.Hour} {
		t.Run(lives.String(), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				files := content{"new", 2, 0}.files()
				b.must(p.write(last+"/config.json", files["config.json"]))
				b.must(p.write(last+"/pytorch_model.bin", files["pytorch_model.bin"]))
				h, err := p.create(last + "/training_state.pth")
				b.must(err)
				_, err = h.Write(files["training_state.pth"])
				b.must(err)
				child := p.fork()
				b.must(p.close(h))
				time.AfterFunc(lives, func() { child.exit(0) })
				start := time.Now()
				b.must(b.SyncDir(last))
				if took := time.Since(start); took > min(lives, lingers)+time.Second {
					t.Errorf("it took %v", took)
				}
				b.restart()
				b.shows("said", map[string]string{"resume": "new"})
			})
		})
	}
}

func TestBoundaryOfHalfASave(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir(last))
		b.must(p.write(last+"/config.json", []byte("{}")))
		if err := b.Commit(last, false); err == nil || !strings.Contains(err.Error(), "training_state.pth") {
			t.Errorf("commit says %v, and not what is missing", err)
		}
		b.must(b.SyncDir(last)) // fsync makes durable what there is, and is no error
		left := b.Settle(context.Background(), nil)
		if lacks := left[last]; len(left) != 1 || !strings.Contains(Words(lacks), "training_state.pth") {
			t.Errorf("an unmount leaves %q", left)
		}
		b.shows("half a save", map[string]string{"resume": ""})
		for _, name := range []string{"best_model", last + "/config.json"} {
			if err := b.Commit(name, true); err == nil {
				t.Errorf("commit of %s says nothing", name)
			}
		}
		b.check("half a save")
	})
}

// While somebody writes, no word makes a save complete.
func TestBoundaryWithAnOpenWriter(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p, q := b.process(), b.process()
		b.must(p.save(last, content{"new", 2, 0}))
		h, err := q.create(last + "/ema.bin") // of tensors: no stranger
		b.must(err)
		if err := b.Commit(last, true); err == nil || !strings.Contains(err.Error(), "ema.bin (being written)") {
			t.Errorf("commit says %v", err)
		}
		b.must(b.SyncDir(last))
		b.shows("being written", map[string]string{"resume": "old"})
		b.must(q.close(h))
		b.settle()
		b.shows("closed", map[string]string{"resume": "new"})
	})
}

// A handle that outlives the close of its file (a mapping, a child) holds a
// commit up for a moment only: then it takes a copy, which nobody can change.
func TestLingeringHandle(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		files := content{"new", 2, 0}.files()
		var h *handle
		for _, name := range checkpointFiles {
			var err error
			h, err = p.create(path.Join(last, name))
			b.must(err)
			_, err = h.Write(files[name])
			b.must(err)
			if name != "training_state.pth" {
				b.must(p.close(h))
			}
		}
		child := p.fork()
		b.must(p.close(h))
		b.pass(5 * time.Second)
		b.shows("the child may still write", map[string]string{"resume": "old"})
		b.pass(time.Minute)
		b.shows("the child has had its time", map[string]string{"resume": "new"})
		_, err := h.WriteAt(make([]byte, 100), 0)
		b.must(err)
		b.check("written behind the commit's back")
		child.exit(0)
		b.settle()
		b.check("the child is gone")
		b.shows("the child is gone", map[string]string{"resume": "new"})
	})
}

// durability: close makes the close that completes a save wait for its commit.
func TestDurabilityClose(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.configure(func(c *policy.Config) { c.Save.Durability = "close" })
		p := b.process()
		b.must(p.save(last, content{"one", 1, 0}))
		b.shows("closed", map[string]string{"resume": "one"})
		b.must(p.save(last, content{"two", 2, 0}))
		b.shows("closed", map[string]string{"resume": "two"})
		b.disk.choose(func(_ int, op disk.Op) error {
			if op == "commit:sync" {
				return unix.EIO
			}
			return nil
		})
		if err := p.save(last, content{"three", 3, 0}); err == nil {
			t.Error("a close whose commit failed says nothing")
		}
		b.disk.choose(nil)
		b.shows("failed", map[string]string{"resume": "two"})
		b.must(p.save(last, content{"four", 4, 0}))
		b.shows("closed", map[string]string{"resume": "four"})
		b.check("closed")
	})
}
