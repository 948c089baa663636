package store

import (
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A trainer that writes each file under a temporary name and renames it into
// place is one that writes the files.
func TestRenameInsideACheckpoint(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		for name, data := range (content{"new", 2, 0}).files() {
			b.must(p.write(last+"/"+name+".tmp", data))
			b.must(p.rename(last+"/"+name+".tmp", last+"/"+name))
			b.shows(name, map[string]string{"resume": "old"})
			b.check(name)
		}
		b.settle()
		b.shows("settled", map[string]string{"resume": "new"})
		b.check("settled")
		if names, err := p.list(last); err != nil || !slices.Equal(names, checkpointFiles) {
			t.Errorf("it holds %q, %v", names, err)
		}
	})
}

// A file may be renamed while its writer has it open.
func TestRenameOfAnOpenFile(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		files := content{"new", 2, 0}.files()
		b.must(p.mkdir(last))
		for _, name := range checkpointFiles {
			h, err := p.create(last + "/part")
			b.must(err)
			_, err = h.Write(files[name][:10])
			b.must(err)
			b.must(p.rename(last+"/part", last+"/"+name))
			_, err = h.Write(files[name][10:])
			b.must(err)
			b.must(p.close(h))
		}
		b.settle()
		b.shows("settled", map[string]string{"resume": "new"})
	})
}

// What is unlinked while it is written has no name, and is nobody's file.
func TestUnlinkOfAnOpenFile(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		h, err := p.create(last + "/scratch")
		b.must(err)
		b.must(p.unlink(last + "/scratch"))
		_, err = h.Write([]byte("x"))
		b.must(err)
		b.must(p.close(h))
		if p.exists(last + "/scratch") {
			t.Error("it came back")
		}
		b.settle()
		b.pass(time.Hour)
		if left := b.left(stagingDir); len(left) > 0 {
			t.Errorf("staging holds %v", left)
		}
		b.shows("settled", map[string]string{"resume": "old"})
	})
}

// A checkpoint may have directories, links and names that no layout knows.
func TestTreesInACheckpoint(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.save(last, content{"one", 1, 0}))
		b.must(p.mkdir(last + "/shards"))
		b.must(p.mkdir(last + "/shards/rank0"))
		b.must(p.write(last+"/shards/rank0/a.bin", []byte("a")))
		_, err := b.Symlink("../config.json", last+"/shards/link", p.caller())
		b.must(err)
		_, err = b.Link(last+"/shards/rank0/a.bin", Ident{}, last+"/shards/b.bin", p.caller())
		b.must(err)
		b.settle()
		b.restart()
		p = b.process()
		b.must(p.rename(last+"/shards", last+"/parts"))
		b.must(p.save(last, content{"two", 2, 0}))
		b.settle()
		b.shows("settled", map[string]string{"resume": "two"})
		if data, err := p.read(last + "/parts/rank0/a.bin"); err != nil || string(data) != "a" {
			t.Errorf("the file is %q, %v", data, err)
		}
		if target, err := b.Readlink(last + "/parts/link"); err != nil || target != "../config.json" {
			t.Errorf("the link leads to %q, %v", target, err)
		}
		v := b.version("resume")
		if list, err := b.VersionList(v, "parts"); err != nil || len(list) != 3 {
			t.Errorf("the view lists %v, %v", list, err)
		}
		if target, err := b.VersionReadlink(v, "parts/link"); err != nil || target != "../config.json" {
			t.Errorf("the view's link leads to %q, %v", target, err)
		}
		b.must(p.removeAll(last + "/parts"))
		if err := p.rmdir(last); !errors.Is(err, unix.ENOTEMPTY) {
			t.Errorf("rmdir of a full checkpoint: %v", err)
		}
	})
}

// What is committed is never written through another door: a file that leaves a
// checkpoint, or enters one with another name outside, is a copy.
func TestAcrossTheBorder(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(b *bench, p *process) (outside string)
	}{
		{"a file moves out", func(b *bench, p *process) string {
			b.must(p.rename(last+"/config.json", "out.json"))
			return "out.json"
		}},
		{"a directory moves out", func(b *bench, p *process) string {
			b.must(p.rename(last+"/extra", "out"))
			return "out/notes.txt"
		}},
		{"a file moves to another checkpoint", func(b *bench, p *process) string {
			b.must(p.rename(last+"/config.json", "best_model/more.json"))
			return "best_model/more.json"
		}},
		{"a file with another name moves in", func(b *bench, p *process) string {
			b.must(p.write("in.json", []byte("{}")))
			_, err := b.Link("in.json", Ident{}, "other.json", p.caller())
			b.must(err)
			b.must(p.rename("in.json", last+"/more.json"))
			return "other.json"
		}},
		{"a directory moves in", func(b *bench, p *process) string {
			b.must(p.mkdir("dir"))
			b.must(p.write("dir/in.json", []byte("{}")))
			_, err := b.Link("dir/in.json", Ident{}, "other.json", p.caller())
			b.must(err)
			b.must(p.rename("dir", last+"/dir"))
			return "other.json"
		}},
		{"the checkpoint itself, while it is saved", func(b *bench, p *process) string {
			b.must(p.write(last+"/more.txt", []byte("x")))
			b.must(p.rename(last, "out"))
			return "out/config.json"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}, "best_model": {"best", 1, 0}})
				p := b.process()
				b.must(p.mkdir(last + "/extra"))
				b.must(p.write(last+"/extra/notes.txt", []byte("notes")))
				b.settle()
				v := b.version("resume")
				outside := c.do(b, p)
				b.settle()
				if now := b.version("resume"); now != nil {
					v = now
				}
				before := b.bytesOf(v)
				h, err := p.openFile(outside, unix.O_RDWR)
				b.must(err)
				_, err = h.WriteAt([]byte("overwritten"), 0)
				b.must(err)
				b.must(p.close(h))
				if !slices.Equal(b.bytesOf(v), before) {
					t.Error("the committed version has other bytes now")
				}
				b.settle()
				b.check("moved")
			})
		})
	}
}

// bytesOf reads the files of a version where it lies, one after the other.
func (b *bench) bytesOf(v *Version) []byte {
	b.t.Helper()
	var out []byte
	for _, f := range v.Files {
		data, err := os.ReadFile(filepath.Join(b.dir, v.where(), f.Path))
		b.must(err)
		out = append(out, data...)
	}
	return out
}

func TestLinksDoNotCrossTheBorder(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "best_model": {"best", 1, 0}})
		p := b.process()
		b.must(p.write("plain", nil))
		for _, c := range [][2]string{{last + "/config.json", "out"}, {"plain", last + "/in"}, {last + "/config.json", "best_model/in"}} {
			if _, err := b.Link(c[0], Ident{}, c[1], p.caller()); !errors.Is(err, unix.EXDEV) {
				t.Errorf("link %s to %s: %v", c[0], c[1], err)
			}
		}
		_, err := b.Link(last+"/config.json", Ident{}, last+"/same.json", p.caller())
		b.must(err)
		b.must(p.write(last+"/same.json", []byte("{}")))
		if token := b.fileToken(last + "/config.json"); token != "old" {
			t.Errorf("written through its other name, the file is of %q", token)
		}
		b.settle()
		b.check("linked inside")
	})
}

// Owner, mode and times alone are no save: they are applied to what is
// committed, and survive a mount without a second look at the files.
func TestAttributesAreNoSave(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		was := b.version("resume").ID
		p := b.process()
		file := last + "/config.json"
		a, err := b.Lookup(file, p.tgid)
		b.must(err)
		when := unix.Timespec{Sec: 1_600_000_000, Nsec: 5}
		a, err = b.SetAttr(file, a.Ident, nil, Change{Mode: new(uint32(0o600)), Mtime: &when}, p.caller())
		b.must(err)
		if a.Mode&0o777 != 0o600 || a.Mtime != when {
			t.Errorf("the mode is %o, the time %v", a.Mode&0o777, a.Mtime)
		}
		if len(b.left(stagingDir)) > 0 {
			t.Error("a save was opened")
		}
		b.restart()
		v := b.version("resume")
		if v == nil || v.ID != was || v.Adopted {
			t.Errorf("after the next mount it is %+v, not version %s", v, was)
		}
		a, err = b.VersionAttr(v, "config.json")
		b.must(err)
		if a.Mode&0o777 != 0o600 || a.Mtime != when {
			t.Errorf("the view shows mode %o, time %v", a.Mode&0o777, a.Mtime)
		}
	})
}

// truncate(2) by name changes content: of a copy, as any open for writing does.
func TestTruncateByName(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		file := last + "/pytorch_model.bin"
		b.must(p.truncate(file, 100))
		a, err := b.process().stat(file)
		if err != nil || a.Size != 100 {
			t.Errorf("the size is %d, %v", a.Size, err)
		}
		b.pass(time.Hour)
		b.shows("truncated", map[string]string{"resume": "old"})
		b.check("truncated")
	})
}

// truncate is truncate(2): the kernel retries with a fresh look-up.
func (p *process) truncate(name string, size int64) error {
	for again := false; ; again = true {
		a, err := p.stat(name)
		if err != nil {
			return err
		}
		_, err = p.b.SetAttr(name, a.Ident, nil, Change{Size: &size}, p.caller())
		if again || !errors.Is(err, unix.ESTALE) {
			return err
		}
	}
}

func (p *process) stat(name string) (Attr, error) { return p.b.Lookup(name, p.tgid) }

// A live directory keeps its number, and a file its identity, through a commit;
// a file that was replaced has another.
func TestIdentities(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		dir, err := p.stat(last)
		b.must(err)
		file, err := p.stat(last + "/config.json")
		b.must(err)
		if shown, err := b.VersionAttr(b.version("resume"), "config.json"); err != nil || shown.Ident != file.Ident || shown.Nlink < 2 || file.Nlink != shown.Nlink {
			t.Errorf("the view shows %+v, %v, the name %+v", shown, err, file)
		}
		b.must(p.save(last, content{"new", 2, 0}))
		staged, err := p.stat(last + "/config.json")
		b.must(err)
		b.settle()
		for name, want := range map[string]Ident{last: dir.Ident, last + "/config.json": staged.Ident} {
			if a, err := p.stat(name); err != nil || a.Ident != want {
				t.Errorf("after the commit %s is %v, %v, before it was %v", name, a.Ident, err, want)
			}
		}
		if staged.Ident == file.Ident {
			t.Error("another content has the same identity")
		}
		if _, err := b.OpenFile(last+"/config.json", file.Ident, unix.O_RDONLY, p.caller()); !errors.Is(err, unix.ESTALE) {
			t.Errorf("open by the old identity: %v", err)
		}
	})
}

// Between look-up and open a rename may replace a file: a reader gets the one
// that he looked up.
func TestReplacedFileCanBeOpenedAMomentLonger(t *testing.T) {
	for _, dir := range []string{last, "logs"} {
		t.Run(dir, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				p := b.process()
				b.must(p.mkdir(dir))
				file, tmp := path.Join(dir, "state"), path.Join(dir, "state.tmp")
				b.must(p.write(file, []byte("one")))
				a, err := p.stat(file)
				b.must(err)
				b.must(p.write(tmp, []byte("two")))
				b.must(p.rename(tmp, file))
				f, err := b.OpenFile(file, a.Ident, unix.O_RDONLY, p.caller())
				b.must(err)
				defer f.Release()
				if data, err := io.ReadAll(f); err != nil || string(data) != "one" {
					t.Errorf("it reads %q, %v", data, err)
				}
				b.pass(time.Minute)
				if _, err := b.OpenFile(file, a.Ident, unix.O_RDONLY, p.caller()); !errors.Is(err, unix.ESTALE) {
					t.Errorf("a minute later: %v", err)
				}
			})
		})
	}
}

// What is no checkpoint is passed through.
func TestPlainEntries(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("logs"))
		b.must(p.write("logs/a", []byte("a")))
		b.must(p.rename("logs/a", "logs/b"))
		_, err := b.Mknod("logs/pipe", unix.S_IFIFO|0o600, 0, p.caller())
		b.must(err)
		_, err = b.Symlink("b", "logs/link", p.caller())
		b.must(err)
		if data, err := os.ReadFile(filepath.Join(b.dir, "logs/link")); err != nil || string(data) != "a" {
			t.Errorf("below the mount it is %q, %v", data, err)
		}
		for _, forbidden := range []error{
			p.write(Private+"/x", nil), p.mkdir(Private + "/x"), p.unlink(Private + "/lock"), p.rmdir(Private),
		} {
			if !errors.Is(forbidden, unix.EPERM) {
				t.Errorf("in the private directory: %v", forbidden)
			}
		}
		if p.exists(Private) || p.has("", Private) {
			t.Error("the private directory is shown")
		}
		b.must(p.removeAll("logs"))
	})
}

// rm -rf of a run works although its views cannot be removed: they go with it.
func TestRemoveARun(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("a"))
		b.seed(map[string]content{"a/" + last: {"old", 1, 0}})
		b.seed(map[string]content{"a/" + last: {"new", 2, 0}})
		if err := p.rmdir("a"); !errors.Is(err, unix.ENOTEMPTY) {
			t.Errorf("rmdir of a run with a checkpoint: %v", err)
		}
		b.must(p.removeAll("a"))
		b.shows("removed", map[string]string{"a/resume": "", "a/by-epoch/1": ""})
		b.must(p.mkdir("a"))
		b.seed(map[string]content{"a/" + last: {"next", 3, 0}})
		b.restart()
		b.shows("again", map[string]string{"a/resume": "next", "a/by-epoch/1": ""})
	})
}
