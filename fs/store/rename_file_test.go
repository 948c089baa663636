package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (p *process) link(from, to string) error {
	_, err := p.b.Link(p.at(from), Ident{}, p.at(to), p.caller())
	return err
}

// inodes lists the inodes of names in the backing directory.
func (b *bench) inodes(names ...string) (list []uint64) {
	b.t.Helper()
	for _, name := range names {
		var st unix.Stat_t
		b.must(unix.Lstat(filepath.Join(b.dir, name), &st))
		list = append(list, st.Ino)
	}
	return list
}

// A file that is renamed to a checkpoint's name is committed at once (P1, P2).
func TestRenameFileIn(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		for _, w := range []string{"one", "two", "three"} {
			b.must(p.write("last.json.tmp", word(w)))
			b.must(p.rename("last.json.tmp", "last.json"))
			p.reads("last.json", w)
			p.lists("last.json")
			b.pass(time.Millisecond)
			b.sees("renamed", map[string]string{"latest/last.json": w})
			b.holds("renamed", map[string]string{"last.json": w, "last.json.tmp": ""})
		}
		if n := len(b.named("last.json").history); n != 1 {
			t.Errorf("%d earlier versions", n)
		}
		b.restart()
		b.sees("restarted", map[string]string{"latest/last.json": "three"})
	})
}

// What timm does: the last one is removed, the new one renamed in, and then linked
// to the names of its epoch and of the best (P2).
func TestLinkedCheckpoints(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		save := func(epoch, w string, best bool) {
			b.must(p.write("tmp.json", word(w)))
			if p.exists("last.json") {
				b.must(p.unlink("last.json"))
			}
			b.must(p.rename("tmp.json", "last.json"))
			b.must(p.link("last.json", epoch))
			if best {
				if p.exists("best.json") {
					b.must(p.unlink("best.json"))
				}
				b.must(p.link("last.json", "best.json"))
			}
		}
		save("epoch_1.json", "one", true)
		p.lists("best.json", "epoch_1.json", "last.json")
		b.pass(time.Millisecond)
		b.sees("one", map[string]string{"resume/last.json": "one", "best/best.json": "one", "by-epoch/1/epoch_1.json": "one"})
		if in := b.inodes("last.json", "epoch_1.json", "best.json"); in[0] != in[1] || in[1] != in[2] {
			t.Errorf("the links have the inodes %v", in)
		}
		save("epoch_2.json", "two", false)
		b.pass(time.Millisecond)
		want := map[string]string{
			"resume/last.json": "two", "best/best.json": "one", "by-epoch/1/epoch_1.json": "one", "by-epoch/2/epoch_2.json": "two",
		}
		b.sees("two", want)
		// Rewriting one name leaves the others as they are.
		p.saveWord("epoch_1.json", "other")
		want["by-epoch/1/epoch_1.json"] = "other"
		b.sees("rewritten", want)
		b.holds("rewritten", map[string]string{"best.json": "one", "last.json": "two", "epoch_1.json": "other", "epoch_2.json": "two"})
		b.restart()
		b.sees("restarted", want)
		if err := p.link("last.json", "best.json"); !errors.Is(err, unix.EEXIST) {
			t.Errorf("a link to a name that is taken: %v", err)
		}
		b.must(os.WriteFile(filepath.Join(b.dir, "note.txt"), word("note"), 0o644))
		b.must(p.link("note.txt", "epoch_3.json"))
		b.pass(time.Millisecond)
		b.must(p.write("note.txt", word("changed")))
		b.sees("from an ordinary file", map[string]string{"by-epoch/3/epoch_3.json": "note"})
		if err := p.link("last.json", "ordinary"); !errors.Is(err, unix.EXDEV) {
			t.Errorf("a link to an ordinary name: %v", err)
		}
	})
}

// A checkpoint's file that is renamed to an ordinary name is an ordinary file.
func TestRenameFileOut(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("epoch_1.json", "one")
		p.saveWord("last.json", "old")
		p.saveWord("last.json", "new")
		b.must(p.rename("last.json", "last.bak"))
		p.lists("epoch_1.json", "last.bak")
		p.reads("last.bak", "new")
		b.must(p.write("last.bak", word("changed")))
		b.pass(time.Minute)
		b.sees("renamed away", map[string]string{"latest/epoch_1.json": "one", "resume/last.json": ""})
		b.holds("renamed away", map[string]string{"last.json": "", "last.bak": "changed"})
		b.must(p.rename("last.bak", "last.json"))
		b.pass(time.Millisecond)
		b.sees("and back", map[string]string{"resume/last.json": "changed"})
		b.restart()
		b.sees("restarted", map[string]string{"resume/last.json": "changed"})
	})
}

// A checkpoint's file that is renamed to another checkpoint's is that one's; the
// name that it had is gone, and at every moment one of them is committed.
func TestRenameFileOver(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("epoch_1.json", "one")
		p.saveWord("last.json", "last")
		b.must(p.rename("epoch_1.json", "last.json"))
		b.pass(time.Millisecond)
		p.lists("last.json")
		b.sees("renamed", map[string]string{"resume/last.json": "one", "by-epoch/1/epoch_1.json": ""})
		b.holds("renamed", map[string]string{"last.json": "one", "epoch_1.json": ""})
		b.must(p.rename("last.json", "last.json"))
		b.must(p.rename("last.json", "epoch_4.json"))
		b.pass(time.Millisecond)
		b.sees("to a new name", map[string]string{"by-epoch/4/epoch_4.json": "one", "resume/last.json": ""})
		b.restart()
		b.sees("restarted", map[string]string{"by-epoch/4/epoch_4.json": "one"})
	})
}

// A symbolic link of a checkpoint's name to a file is another name of that
// (Lightning's last.ckpt); a file can take its place, and a link that of a file.
func TestLinksToFiles(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("epoch_1.json", "one")
		p.saveWord("epoch_2.json", "two")
		b.must(p.symlink("epoch_1.json", "best.json"))
		b.sees("linked", map[string]string{"best/epoch_1.json": "one"})
		b.must(p.unlink("best.json"))
		p.saveWord("best.json", "best")
		b.sees("a file", map[string]string{"best/best.json": "best"})
		b.must(p.symlink("epoch_2.json", "tmp"))
		b.must(p.rename("tmp", "best.json"))
		b.sees("a link again", map[string]string{"best/epoch_2.json": "two"})
		b.restart()
		b.sees("restarted", map[string]string{"best/epoch_2.json": "two"})
		p.lists("best.json", "epoch_1.json", "epoch_2.json")
	})
}

// A time that is set under one name is no change from outside of another that is a
// link of it.
func TestTimesOfLinks(t *testing.T) {
	inWatchedFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("last.json", "one")
		b.must(p.link("last.json", "epoch_1.json"))
		b.pass(time.Millisecond)
		a, err := p.stat("last.json")
		b.must(err)
		when := unix.Timespec{Sec: 1_700_000_000}
		_, err = b.SetAttr("last.json", a.Ident, nil, Change{Mtime: &when}, p.caller())
		b.must(err)
		for _, name := range []string{"last.json", "epoch_1.json"} {
			b.tell(name+"/", false)
		}
		b.restart()
		b.pass(time.Minute)
		if got := b.happened("changed-outside"); len(got) > 0 {
			t.Errorf("taken for changes from outside: %v", got)
		}
		for _, view := range []string{"resume", "by-epoch/1"} {
			if v := b.version(view); v == nil || v.Adopted {
				t.Errorf("%s shows %+v", view, v)
			}
		}
	})
}

// A directory with files of checkpoints' names can become a checkpoint itself.
func TestFilesBecomePartOfADirectory(t *testing.T) {
	for _, settled := range []bool{true, false} {
		inFiles(t, func(b *bench) {
			p := b.process()
			b.must(p.mkdir("tmp"))
			b.must(p.write("tmp/last.json", word("one")))
			b.pass(time.Millisecond)
			b.must(p.write("tmp/last.json", word("two")))
			b.must(p.write("tmp/ckpt-1.index.json", word("index")))
			if settled {
				b.settle()
			}
			b.must(p.rename("tmp", "step-5"))
			p.lists("step-5")
			b.pass(time.Minute)
			p.reads("step-5/last.json", "two")
			b.sees("renamed", map[string]string{"latest/last.json": "two", "latest/ckpt-1.index.json": "index"})
			b.holds("renamed", map[string]string{"step-5/last.json": "two", "step-5/ckpt-1.index.json": "index"})
			if kept := b.left(filesDir); len(kept) > 0 {
				t.Errorf("kept are %v", kept)
			}
			b.restart()
			b.sees("restarted", map[string]string{"latest/last.json": "two"})
		})
	}
}

// Where there are no hard links the file in the run is a copy of the version's, and
// all is as it is elsewhere, but for the space.
func TestFilesWithoutLinks(t *testing.T) {
	inFiles(t, func(b *bench) {
		b.stop()
		b.over = withoutLinks
		b.must(os.WriteFile(b.backing("epoch_1.json"), word("found"), 0o644))
		b.start()
		p := b.process()
		p.saveWord("last.json", "old")
		p.saveWord("last.json", "new")
		b.must(p.write("tmp", word("renamed")))
		b.must(p.rename("tmp", "epoch_2.json"))
		b.must(p.link("last.json", "best.json"))
		b.pass(time.Millisecond)
		a, err := p.stat("last.json")
		b.must(err)
		when := unix.Timespec{Sec: 1_700_000_000}
		_, err = b.SetAttr("last.json", a.Ident, nil, Change{Mode: new(uint32(0o600)), Mtime: &when}, p.caller())
		b.must(err)
		var st unix.Stat_t
		b.must(unix.Stat(b.backing("last.json"), &st))
		if st.Mode&0o777 != 0o600 || st.Mtim.Sec != when.Sec {
			t.Errorf("the copy in the run has the mode %o and the time %v", st.Mode, st.Mtim)
		}
		check := func(when string) {
			b.t.Helper()
			b.sees(when, map[string]string{
				"resume/last.json": "new", "best/best.json": "new", "by-epoch/1/epoch_1.json": "found", "by-epoch/2/epoch_2.json": "renamed",
			})
			b.holds(when, map[string]string{"last.json": "new", "best.json": "new", "epoch_1.json": "found", "epoch_2.json": "renamed"})
			if v := b.version("resume"); v == nil || v.Adopted {
				b.t.Errorf("%s: resume is %+v", when, v)
			}
		}
		check("saved")
		b.restart()
		check("restarted")
		b.must(b.process().unlink("best.json"))
		b.process().lists("epoch_1.json", "epoch_2.json", "last.json")
		b.holds("removed", map[string]string{"best.json": ""})
	})
}
