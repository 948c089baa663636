package store

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inWatchedFiles is inFiles with a watcher.
func inWatchedFiles(t *testing.T, f func(b *bench)) {
	t.Helper()
	inFiles(t, func(b *bench) {
		b.stop()
		b.watches = true
		b.start()
		b.pass(0)
		f(b)
	})
}

// A file of a checkpoint that is changed from outside is shown by no view from then
// on (P1), until it is found whole; what was replaced, and not written to, is in
// the trash.
func TestFilesChangedFromOutside(t *testing.T) {
	replace := func(b *bench, data []byte) error {
		return errors.Join(os.WriteFile(b.backing("tmp"), data, 0o644), os.Rename(b.backing("tmp"), b.backing("last.json")))
	}
	for _, c := range []struct {
		name   string
		change func(b *bench) error
		wrote  bool
		then   string // what resume shows in the end
		trash  int    // versions in the trash
	}{
		{"torn", func(b *bench) error { return os.Truncate(b.backing("last.json"), 4) }, true, "", 0},
		{"written", func(b *bench) error { return os.WriteFile(b.backing("last.json"), word("other"), 0o644) }, true, "other", 0},
		{"replaced", func(b *bench) error { return replace(b, word("other")) }, false, "other", 1},
		{"replaced by half a file", func(b *bench) error { return replace(b, word("other")[:7]) }, false, "", 1},
		{"removed", func(b *bench) error { return os.Remove(b.backing("last.json")) }, false, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWatchedFiles(t, func(b *bench) {
				p := b.process()
				p.saveWord("epoch_1.json", "spare")
				b.tell("epoch_1.json", false)
				p.saveWord("last.json", "old")
				b.tell("last.json", false)
				v := b.version("resume")
				b.must(c.change(b))
				if c.wrote {
					b.tell("last.json/", true)
				} else {
					b.tell("last.json", false)
				}
				if b.version("resume") == v {
					t.Error("the view still shows what was changed")
				}
				if c.then != "" {
					p.reads("last.json", c.then)
				}
				b.pass(time.Minute)
				b.sees("verified", map[string]string{"resume/last.json": c.then, "by-epoch/1/epoch_1.json": "spare"})
				if n := len(b.Store.trash); n != c.trash {
					t.Errorf("%d versions are in the trash, want %d", n, c.trash)
				}
				p.saveWord("last.json", "new")
				b.sees("saved", map[string]string{"resume/last.json": "new"})
				b.restart()
				b.pass(0)
				b.sees("mounted again", map[string]string{"resume/last.json": "new", "by-epoch/1/epoch_1.json": "spare"})
			})
		})
	}
}

// Our own changes of files are no changes from outside.
func TestOwnFilesAreNotFromOutside(t *testing.T) {
	inWatchedFiles(t, func(b *bench) {
		p := b.process()
		for _, w := range []string{"one", "two"} {
			p.saveWord("last.json", w)
			b.tell("last.json", false)
			v := b.version("resume")
			a, err := p.stat("last.json")
			b.must(err)
			when := unix.Timespec{Sec: 1_700_000_000}
			_, err = b.SetAttr("last.json", a.Ident, nil, Change{Mode: new(uint32(0o600)), Mtime: &when}, p.caller())
			b.must(err)
			b.tell("last.json/", false)
			b.must(p.write("tmp", word(w+" again")))
			b.must(p.rename("tmp", "epoch_1.json"))
			b.tell("epoch_1.json", false)
			b.pass(time.Millisecond)
			b.tell("epoch_1.json", false)
			b.must(p.write("ckpt-1.index.json", word(w)))
			b.tell("ckpt-1.index.json", false)
			b.pass(time.Minute)
			b.tell("ckpt-1.index.json", false)
			if b.version("resume") != v || v.Adopted {
				t.Errorf("%s: the view shows another version", w)
			}
		}
		b.must(p.unlink("epoch_1.json"))
		b.tell("epoch_1.json", false)
		if got := append(b.happened("changed-outside"), b.happened("vanished")...); len(got) > 0 {
			t.Errorf("taken for changes from outside: %v", got)
		}
		b.restart()
		b.pass(0)
		if v := b.version("resume"); v == nil || v.Adopted {
			t.Errorf("mounted again, resume shows %+v", v)
		}
	})
}

// A file that comes from outside is a checkpoint once it is quiet.
func TestFilesAppearFromOutside(t *testing.T) {
	inWatchedFiles(t, func(b *bench) {
		b.must(os.WriteFile(b.backing("epoch_3.json"), word("three"), 0o644))
		b.tell("epoch_3.json", false)
		b.sees("at once", map[string]string{"latest/epoch_3.json": ""})
		b.settle()
		b.sees("settled", map[string]string{"latest/epoch_3.json": "three"})
		for _, name := range []string{"ckpt-5.index.json", "ckpt-5.data-0-of-1.json"} {
			b.must(os.WriteFile(b.backing(name), word("five"), 0o644))
			b.tell(name, false)
		}
		b.pass(2 * time.Minute)
		b.keeps("a group", "ckpt-5", "ckpt-5.index.json", "five")
		b.keeps("a group", "ckpt-5", "ckpt-5.data-0-of-1.json", "five")
	})
}

// What lies in a run at the first mount is verified and shown; what is damaged is
// left where it is (P4). All that is private may be removed in between.
func TestAdoptedFiles(t *testing.T) {
	inFiles(t, func(b *bench) {
		b.stop()
		files := map[string]string{"last.json": "last", "epoch_1.json": "one", "ckpt-5.index.json": "five", "ckpt-5.data-0-of-1.json": "five"}
		for name, w := range files {
			b.must(os.WriteFile(b.backing(name), word(w), 0o644))
		}
		b.must(os.WriteFile(b.backing("epoch_2.json"), word("two")[:7], 0o644))
		check := func(when string) {
			b.t.Helper()
			b.pass(time.Minute)
			b.sees(when, map[string]string{"resume/last.json": "last", "by-epoch/1/epoch_1.json": "one", "by-epoch/2/epoch_2.json": ""})
			b.keeps(when, "ckpt-5", "ckpt-5.data-0-of-1.json", "five")
			b.holds(when, files)
			if rec := b.named("epoch_2.json"); rec == nil || rec.invalid == "" {
				b.t.Errorf("%s: epoch_2.json is %+v", when, rec)
			}
		}
		b.start()
		check("first mount")
		id := b.version("resume").ID
		b.restart()
		check("second mount")
		if v := b.version("resume"); v.ID != id {
			t.Error("another version was made of it")
		}
		b.stop()
		b.must(os.RemoveAll(b.backing(Private)))
		b.start()
		check("with nothing private")
		b.stop()
		b.must(os.RemoveAll(b.backing(filesDir)))
		b.start()
		check("with no files kept")
		b.must(b.process().write("last.json", word("new")))
		b.pass(time.Minute)
		b.sees("saved", map[string]string{"resume/last.json": "new"})
		b.must(b.process().write("epoch_2.json", word("two")))
		b.pass(time.Minute)
		b.sees("repaired", map[string]string{"by-epoch/2/epoch_2.json": "two"})
	})
}

// What is done to files while nothing is mounted is seen at the next mount.
func TestFilesWhileUnmounted(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("last.json", "older")
		p.saveWord("last.json", "old")
		p.saveWord("epoch_1.json", "one")
		p.saveWord("epoch_2.json", "two")
		p.saveWord("best.json", "best")
		b.pass(time.Minute)
		b.stop()
		b.must(os.Remove(b.backing("last.json")))
		b.must(os.WriteFile(b.backing("epoch_1.json"), word("changed"), 0o644))
		b.must(os.WriteFile(b.backing("tmp"), word("other"), 0o644))
		b.must(os.Rename(b.backing("tmp"), b.backing("epoch_2.json")))
		b.must(os.Rename(b.backing("best.json"), b.backing("epoch_3.json")))
		b.start()
		b.pass(0)
		want := map[string]string{
			"resume/last.json": "", "best/best.json": "", "by-epoch/3/epoch_3.json": "best",
			"by-epoch/1/epoch_1.json": "changed", "by-epoch/2/epoch_2.json": "other",
		}
		b.sees("mounted", want)
		b.process().lists("epoch_1.json", "epoch_2.json", "epoch_3.json")
		b.restart()
		b.sees("mounted again", want)
		b.pass(time.Hour)
		if kept := b.left(filesDir); len(kept) != 3 {
			t.Errorf("kept are %v", kept)
		}
	})
}

// A run that was moved while nothing was mounted has its versions still.
func TestFilesOfAMovedRun(t *testing.T) {
	inFiles(t, func(b *bench) {
		b.must(os.Mkdir(b.backing("a"), 0o755))
		p := b.process()
		p.saveWord("a/last.json", "old")
		p.saveWord("a/last.json", "new")
		id := b.version("a/resume").ID
		b.must(p.rename("a", "b"))
		b.pass(time.Millisecond)
		b.sees("renamed", map[string]string{"b/resume/last.json": "new"})
		p.reads("b/last.json", "new")
		b.restart()
		b.sees("mounted again", map[string]string{"b/resume/last.json": "new"})
		b.stop()
		b.must(os.Rename(b.backing("b"), b.backing("c")))
		b.start()
		b.sees("moved beneath", map[string]string{"c/resume/last.json": "new"})
		if v := b.version("c/resume"); v.ID != id {
			t.Error("another version was made of it")
		}
		p.saveWord("c/last.json", "newer")
		b.sees("saved", map[string]string{"c/resume/last.json": "newer"})
	})
}
