package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// committedFile reads a file of the version that a view shows; "-" when it has
// none of the name.
func (b *bench) committedFile(view, name string) string {
	b.t.Helper()
	v := b.version(view)
	if v == nil {
		b.t.Fatalf("%s resolves to nothing", view)
	}
	data, err := os.ReadFile(filepath.Join(b.dir, v.where(), name))
	if isGone(err) {
		return "-"
	}
	b.must(err)
	return string(data)
}

// A stranger never holds up a commit (P1 for the rest of the checkpoint): if it
// is still open, the version gets a copy of it, and its writer goes on.
func TestOpenStranger(t *testing.T) {
	for _, exchange := range []bool{true, false} {
		inBubble(t, func(b *bench) {
			b.Store.exchange = exchange
			b.seed(map[string]content{last: {"old", 1, 0}})
			trainer, logger := b.process(), b.process()
			h, err := logger.create(last + "/train.log")
			b.must(err)
			say := func(line string) {
				_, err := h.Write([]byte(line))
				b.must(err)
			}
			say("one\n")
			b.must(trainer.save(last, content{"new", 2, 0}))
			b.settle()
			b.shows("the log is open", map[string]string{"resume": "new"})
			if got := b.committedFile("resume", "train.log"); got != "one\n" {
				t.Errorf("the version has %q of the log", got)
			}
			was := b.version("resume").ID
			say("two\n")
			if got, err := logger.read(last + "/train.log"); err != nil || string(got) != "one\ntwo\n" {
				t.Errorf("its writer reads %q, %v", got, err)
			}
			if trainer.exists(last+"/train.log") || trainer.has(last, "train.log") {
				t.Error("others find an unpublished file")
			}
			b.pass(time.Hour)
			if got := b.committedFile("resume", "train.log"); got != "one\n" || b.version("resume").ID != was {
				t.Errorf("an hour later it is %q in version %s", got, b.version("resume").ID)
			}
			b.must(trainer.save(last, content{"next", 3, 0}))
			b.settle()
			b.shows("the next save", map[string]string{"resume": "next", "by-epoch/2": "new"})
			if got := b.committedFile("resume", "train.log"); got != "one\ntwo\n" {
				t.Errorf("the next version has %q of the log", got)
			}
			say("three\n")
			b.must(logger.close(h))
			logger.exit(0)
			trainer.exit(0)
			b.settle()
			if got := b.committedFile("resume", "train.log"); got != "one\ntwo\nthree\n" {
				t.Errorf("closed, the version has %q of the log", got)
			}
			if left := b.left(stagingDir); len(left) > 0 {
				t.Errorf("staging holds %v", left)
			}
			b.check("closed")
		})
	}
}

// A log that the shell opened is visible from its first flush, and still open.
func TestVisibleOpenStranger(t *testing.T) {
	for _, exchange := range []bool{true, false} {
		inBubble(t, func(b *bench) {
			b.Store.exchange = exchange
			p := b.process()
			b.must(p.save(last, content{"old", 1, 0}))
			b.must(p.write(last+"/out.log", []byte("before")))
			b.settle()
			h, err := p.create(last + "/out.log")
			b.must(err)
			_, err = h.Write([]byte("one\n"))
			b.must(err)
			b.must(h.Flush(p.tgid)) // the shell closes its own descriptor
			b.must(p.save(last, content{"new", 2, 0}))
			b.settle()
			b.shows("it is open", map[string]string{"resume": "new"})
			if got := b.committedFile("resume", "out.log"); got != "one\n" {
				t.Errorf("the version has %q", got)
			}
			_, err = h.Write([]byte("two\n"))
			b.must(err)
			if got, err := b.process().read(last + "/out.log"); err != nil || string(got) != "one\ntwo\n" {
				t.Errorf("the live name has %q, %v", got, err)
			}
			if got := b.committedFile("resume", "out.log"); got != "one\n" {
				t.Errorf("written behind its back, the version has %q", got)
			}
			b.must(p.close(h))
			p.exit(0)
			b.settle()
			if got := b.committedFile("resume", "out.log"); got != "one\ntwo\n" {
				t.Errorf("closed, the version has %q", got)
			}
			b.check("closed")
		})
	}
}

// A stranger that is held back or damaged holds nothing up either.
func TestSpoiltStranger(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(b *bench, trainer *process)
		file  string // what the version has of it
	}{
		{"its writer is killed", func(b *bench, _ *process) {
			p := b.process()
			h, err := p.create(last + "/metrics.json")
			b.must(err)
			_, err = h.Write([]byte(`{"a`))
			b.must(err)
			p.die()
		}, "-"},
		{"it is damaged", func(b *bench, _ *process) { b.must(b.process().write(last+"/metrics.json", []byte(`{"a`))) }, `{"a`},
		{"the trainer wrote it, damaged", func(b *bench, p *process) { b.must(p.write(last+"/metrics.json", []byte(`{"a`))) }, `{"a`},
		{"it is damaged and open", func(b *bench, _ *process) {
			h, err := b.process().create(last + "/metrics.json")
			b.must(err)
			_, err = h.Write([]byte(`{"a`))
			b.must(err)
		}, `{"a`},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				files := content{"new", 2, 0}.files()
				b.must(p.write(last+"/config.json", files["config.json"]))
				c.spoil(b, p)
				b.must(p.write(last+"/pytorch_model.bin", files["pytorch_model.bin"]))
				b.must(p.write(last+"/training_state.pth", files["training_state.pth"]))
				b.settle()
				b.shows("settled", map[string]string{"resume": "new"})
				if got := b.committedFile("resume", "metrics.json"); got != c.file {
					t.Errorf("the version has %q of it", got)
				}
				b.check("settled")
			})
		})
	}
}

// What is still being written may be data after all: a stranger that grows is
// given a while, and no more.
func TestGrowingStranger(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.save(last, content{"new", 2, 0}))
		h, err := p.create(last + "/vocab.txt")
		b.must(err)
		start := time.Now()
		for b.version("resume") == nil && time.Since(start) < time.Hour {
			_, err := h.Write([]byte("word\n"))
			b.must(err)
			b.pass(time.Second / 2)
		}
		if took := time.Since(start); took < patience || took > patience+3*time.Second {
			t.Errorf("it was committed after %v", took)
		}
		b.shows("committed", map[string]string{"resume": "new"})
	})
}

// Should the commit of a save fail whose strangers were carried on, or the
// daemon die before it, the save that carries them is what it was.
func TestCarriedStrangerSurvivesAFailedCommit(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash bool
	}{{"the sync fails", false}, {"the daemon dies", true}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				h, err := p.create(last + "/train.log")
				b.must(err)
				_, err = h.Write([]byte("one\n"))
				b.must(err)
				b.must(p.save(last, content{"new", 2, 0}))
				if c.crash {
					b.disk.stopBefore("commit:sync")
				} else {
					b.disk.choose(func(_ int, op disk.Op) error {
						if op == "commit:sync" {
							return unix.EIO
						}
						return nil
					})
				}
				b.settle()
				b.shows("failed", map[string]string{"resume": "old"})
				if c.crash {
					b.crash()
					b.must(h.File.Close())
					b.start()
					b.settle()
					b.shows("mounted again", map[string]string{"resume": "new"})
					b.check("mounted again")
					return
				}
				b.disk.choose(nil)
				if token := b.fileToken(last + "/config.json"); token != "new" {
					t.Errorf("the live tree has %q", token)
				}
				b.must(p.close(h)) // a change: it is tried again
				b.settle()
				b.shows("tried again", map[string]string{"resume": "new"})
				if got := b.committedFile("resume", "train.log"); got != "one\n" {
					t.Errorf("the version has %q of the log", got)
				}
				b.check("tried again")
			})
		})
	}
}

// A daemon that dies while only a stranger is open leaves nothing that waits.
func TestCarrierAfterACrash(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		h, err := p.create(last + "/train.log")
		if err == nil {
			t.Fatal("a file was made in a directory that is not there")
		}
		b.must(p.save(last, content{"new", 2, 0}))
		h, err = p.create(last + "/train.log")
		b.must(err)
		b.settle()
		b.settle()
		b.shows("committed", map[string]string{"resume": "new"})
		b.crash()
		b.must(h.File.Close())
		b.start()
		b.settle()
		b.shows("mounted again", map[string]string{"resume": "new"})
		if left := b.left(stagingDir); len(left) > 0 {
			t.Errorf("staging holds %v", left)
		}
		held := b.Quarantine()
		if !slices.ContainsFunc(held, func(h Held) bool { return strings.Contains(h.Reason, "ckptfs stopped") }) {
			t.Errorf("quarantine is %+v", held)
		}
	})
}
