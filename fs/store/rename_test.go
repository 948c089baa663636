package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The guide's replacement, step by step, with what the views and the live tree
// show after each of them.
func TestRenameAsideStepByStep(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 1, 0}})
		p := b.process()
		is := func(when, resume, live string) {
			t.Helper()
			b.shows(when, map[string]string{"resume": resume, "latest": resume})
			b.check(when)
			if token, err := p.load(last); live == "" && !isGone(err) || live != "" && token != live {
				t.Errorf("%s: the live name has %q, %v, want %q", when, token, err, live)
			}
		}
		b.must(p.save(tmp, content{"new", 2, 0}))
		is("written", "old", "old")
		b.must(p.rename(last, backup))
		is("renamed aside", "old", "")
		if token, err := p.load(backup); token != "old" {
			t.Errorf("the backup has %q, %v", token, err)
		}
		commit := b.disk.holdAt("commit:sync")
		b.must(p.rename(tmp, last))
		is("renamed in", "old", "new")
		b.must(p.unlink(backup + "/config.json"))
		is("removing the backup", "old", "new")
		commit()
		b.must(p.removeAll(backup)) // by now the new one has to be safe
		is("removed", "new", "new")
		b.settle()
		is("settled", "new", "new")
		b.restart()
		is("restarted", "new", "new")
	})
}

// A trainer that dies in the gap of its replacement: the next mount gives the
// name back, so that no backup is mistaken for garbage.
func TestRenamedAsideAndNeverReplaced(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.rename(last, backup))
		p.die()
		b.shows("died", map[string]string{"resume": "old"})
		b.restart()
		if p.exists(backup) || !p.exists(last) {
			t.Error("the backup has not got its name back")
		}
		b.shows("restarted", map[string]string{"resume": "old"})
	})
}

// The same, after the trainer's next start has removed the backup.
func TestRenamedAsideAndRemoved(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.rename(last, backup))
		b.must(p.removeAll(backup))
		b.shows("removed", map[string]string{"resume": "old"})
		b.pass(b.cfg.Save.IncompleteTTL)
		b.shows("a day later", map[string]string{"resume": "old"})
		b.check("a day later")
		b.restart()
		b.shows("restarted", map[string]string{"resume": "old"})
		b.must(p.save(last, content{"new", 2, 0}))
		b.settle()
		b.shows("saved", map[string]string{"resume": "new"})
	})
}

// What is renamed into place is complete at once: it commits without settling.
func TestRenameInIsABoundary(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.save(tmp, content{"new", 2, 0}))
		b.must(p.rename(tmp, last))
		b.pass(0)
		b.shows("renamed in", map[string]string{"resume": "new"})
		if p.has("", tmp) {
			t.Error("the temporary is still listed")
		}
	})
}

// A rename of something that is no whole checkpoint stays a save.
func TestRenameInOfHalfACheckpoint(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}})
		p := b.process()
		b.must(p.mkdir(tmp))
		b.must(p.write(tmp+"/config.json", []byte(`{"token": "new"}`)))
		b.must(p.rename(tmp, last))
		b.settle()
		b.shows("renamed in", map[string]string{"resume": "spare"})
		b.check("renamed in")
		if !p.exists(last + "/config.json") {
			t.Error("the live tree does not have it")
		}
	})
}

func TestRenameErrors(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string
		flags    uint
		want     error
	}{
		{"onto a checkpoint that is not empty", "plain", last, 0, unix.ENOTEMPTY},
		{"a checkpoint onto another", "best_model", last, 0, unix.ENOTEMPTY},
		{"without replacing", "best_model", last, unix.RENAME_NOREPLACE, unix.EEXIST},
		{"exchange", "best_model", last, unix.RENAME_EXCHANGE, unix.EINVAL},
		{"what is not there", "recovery_checkpoint", last, 0, unix.ENOENT},
		{"into itself", last, last + "/sub", 0, unix.EINVAL},
		{"a file onto a checkpoint", "file", last, 0, unix.EISDIR},
		{"into the private directory", "plain", Private + "/plain", 0, unix.EPERM},
		{"out of the private directory", stagingDir, "plain2", 0, unix.EPERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}, "best_model": {"best", 1, 0}})
				p := b.process()
				b.must(p.mkdir("plain"))
				b.must(p.write("file", nil))
				before := b.tokens()
				if err := b.Rename(c.from, c.to, c.flags, p.caller()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				b.settle()
				b.sameTokens("refused", before)
				b.check("refused")
			})
		})
	}
}

// Renaming a checkpoint to another name takes its history along.
func TestRenameCheckpoint(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.seed(map[string]content{last: {"new", 2, 0}})
		b.must(b.process().rename(last, "best_model"))
		want := map[string]string{"best": "new", "by-epoch/1": "old", "by-epoch/2": "new"}
		b.shows("renamed", want)
		b.check("renamed")
		b.restart()
		b.shows("restarted", want)
	})
}

// A checkpoint that is renamed to no checkpoint's name is an ordinary directory,
// and comes back when it is renamed back.
func TestRenameOutAndBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		p := b.process()
		b.must(p.rename(last, "keep-this"))
		b.shows("out", map[string]string{"resume": "spare"})
		if token, err := p.load("keep-this"); err != nil || token != "old" {
			t.Errorf("the directory has %q, %v", token, err)
		}
		b.must(p.write("keep-this/config.json", []byte(`{"token": "old", "mine": 1}`)))
		b.must(p.rename("keep-this", last))
		b.settle()
		b.shows("back", map[string]string{"resume": "old"})
		b.restart()
		b.shows("restarted", map[string]string{"resume": "old"})
	})
}

// A run is known by its checkpoints, not by its path: moved, it keeps them, their
// history, and the saves that are open.
func TestMovingARun(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("runs"))
		b.must(p.mkdir("runs/a"))
		b.seed(map[string]content{"runs/a/" + last: {"old", 1, 0}})
		b.seed(map[string]content{"runs/a/" + last: {"new", 2, 0}})
		b.must(p.mkdir("runs/a/best_model"))
		b.must(p.write("runs/a/best_model/config.json", content{"best", 2, 0}.files()["config.json"]))
		b.must(p.rename("runs/a", "b"))
		want := map[string]string{"b/resume": "new", "b/by-epoch/1": "old", "b/best": "", "runs/a/resume": ""}
		b.shows("moved", want)
		b.must(p.save("b/best_model", content{"best", 2, 0}))
		b.settle()
		want["b/best"] = "best"
		b.shows("the save goes on", want)
		b.check("the save goes on")
		b.restart()
		b.shows("restarted", want)
		if _, err := os.Stat(filepath.Join(b.dir, "runs/a")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old place: %v", err)
		}
	})
}

// An epoch that the guide's trainer has overwritten stays reachable, as one that
// was overwritten in place does.
func TestRenamedAsideIsKeptInHistory(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.must(patterns[3].save(b.process(), content{"new", 2, 0}))
		b.settle()
		b.shows("settled", map[string]string{"by-epoch/1": "old", "by-epoch/2": "new"})
		b.restart()
		b.shows("restarted", map[string]string{"by-epoch/1": "old", "by-epoch/2": "new"})
	})
}

// A trainer that dies in the gap of its replacement, or right after it: the name
// has its version back on the disk at once, and what the trainer had renamed into
// place is committed over it if it can be proven, as any save. In a run below,
// and in one that was moved while nothing was mounted.
func TestHealing(t *testing.T) {
	whole := content{"new", 2, 0}
	for _, c := range []struct {
		name   string
		after  func(b *bench, p *process) // the rename aside
		boot   string                     // of the next mount
		resume string
	}{
		{name: "in the gap", resume: "old"},
		{name: "and the crash came before the manifest heard of a change", resume: "old", after: func(b *bench, p *process) {
			b.must(os.Chtimes(b.backing(p.at(backup)+"/config.json"), time.Time{}, time.Now()))
		}},
		{name: "half of the successor is there", resume: "old", after: func(b *bench, p *process) {
			b.must(p.mkdir(last))
			b.must(p.write(last+"/config.json", whole.files()["config.json"]))
		}},
		{name: "a whole successor was renamed in", resume: "new", after: func(b *bench, p *process) {
			b.must(p.save(tmp, whole))
			b.disk.holdAt("commit:sync")
			b.must(p.rename(tmp, last))
		}},
		{name: "the machine went down, and the successor can prove itself", resume: "new", boot: "another", after: func(b *bench, p *process) {
			b.must(p.save(tmp, whole))
			b.disk.holdAt("commit:sync")
			b.must(p.rename(tmp, last))
		}},
		{name: "the machine went down, and it cannot", resume: "old", boot: "another", after: func(b *bench, p *process) {
			b.must(p.save(tmp, whole))
			b.must(p.write(tmp+"/notes.bin", []byte("whatever")))
			b.disk.holdAt("commit:sync")
			b.must(p.rename(tmp, last))
		}},
	} {
		for _, dir := range []string{"", "sub", "sub, moved"} {
			t.Run(c.name+", in "+dir, func(t *testing.T) {
				inBubble(t, func(b *bench) {
					p := b.process()
					p.dir, _, _ = strings.Cut(dir, ",")
					if p.dir != "" {
						b.must(b.process().mkdir(p.dir))
					}
					b.must(p.save(last, content{"old", 1, 0}))
					b.settle()
					b.must(p.rename(last, backup))
					if c.after != nil {
						c.after(b, p)
					}
					b.crash()
					p.die()
					q := b.process()
					q.dir = p.dir
					if strings.HasSuffix(dir, "moved") {
						b.must(os.Rename(filepath.Join(b.dir, "sub"), filepath.Join(b.dir, "elsewhere")))
						q.dir = "elsewhere"
					}
					b.boot += c.boot
					b.start()
					if _, err := os.Stat(filepath.Join(b.dir, q.at(last))); err != nil {
						t.Errorf("mounted, the name is not there: %v", err)
					}
					b.check("mounted")
					b.settle()
					b.shows("settled", map[string]string{q.at("resume"): c.resume, q.at("by-epoch/1"): "old"})
					if q.exists(backup) {
						t.Error("the backup is still there")
					}
					b.check("settled")
					tokens := b.tokens()
					b.restart()
					b.sameTokens("mounted again", tokens)
				})
			})
		}
	}
}
