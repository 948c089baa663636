package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
	"ckptfs/policy"
)

// fileLayout is of a trainer whose checkpoints are files, or groups of files.
const fileLayout = `
name: files
source: made up for the tests
lists_views: true
entries:
  - {kind: last, type: file, name: 'last\.json'}
  - {kind: best, type: file, name: 'best\.json'}
  - {kind: epoch_end, type: file, name: 'epoch_(?P<epoch>\d+)\.json'}
  - {kind: step, type: group, name: '(?P<name>ckpt-(?P<global_step>\d+))\.(index|data-\d+-of-\d+)\.json'}
  - {kind: step, type: dir, name: 'step-(?P<step>\d+)'}
files:
  - any_of: [{path: '*.json', format: [json]}]
  - {type: group, required: true, any_of: [{path: '*.index.json', format: [json]}]}
counted:
  - path: '^ckpt-\d+\.data-(?P<rank>\d+)-of-(?P<count>\d+)\.json$'
`

// inFiles runs a test over a run of fileLayout's.
func inFiles(t *testing.T, f func(b *bench)) {
	t.Helper()
	l, err := layout.Parse("files.yaml", []byte(fileLayout))
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(b *bench) {
		b.stop()
		b.layouts = []*layout.Layout{l}
		b.start()
		f(b)
	})
}

// word is the content of a file of these tests.
func word(w string) []byte { return fmt.Appendf(nil, `{"word": %q}`, w) }

// saveWord writes a file and has it committed.
func (p *process) saveWord(name, w string) {
	p.b.t.Helper()
	p.b.must(p.write(name, word(w)))
	p.b.pass(time.Millisecond)
}

// sees fails the test unless views show these files: "latest/last.json" with its
// word, "" for one that is not there.
func (b *bench) sees(when string, want map[string]string) {
	b.t.Helper()
	for p, w := range want {
		view, name := path.Split(p)
		got := ""
		if v := b.version(strings.TrimSuffix(view, "/")); v != nil {
			if f, err := b.VersionOpen(v, name, unix.O_RDONLY); err == nil {
				data, err := io.ReadAll(f)
				f.Release()
				b.must(err)
				got = string(data)
			}
		}
		if w != "" {
			w = string(word(w))
		}
		if got != w {
			b.t.Errorf("%s: %s is %q, want %q", when, p, got, w)
		}
	}
}

// holds fails the test unless the files of the backing directory have these words.
func (b *bench) holds(when string, want map[string]string) {
	b.t.Helper()
	for name, w := range want {
		data, err := os.ReadFile(filepath.Join(b.dir, name))
		switch {
		case w == "" && errors.Is(err, os.ErrNotExist):
		case w == "" || err != nil || string(data) != string(word(w)):
			b.t.Errorf("%s: in the backing directory %s is %q, %v; want %q", when, name, data, err, w)
		}
	}
}

// keeps fails the test unless a file of a checkpoint's committed version has this
// word, "" when there is no such version.
func (b *bench) keeps(when, name, file, w string) {
	b.t.Helper()
	got := ""
	if rec := b.named(name); rec != nil && rec.committed != nil {
		data, err := os.ReadFile(filepath.Join(b.dir, rec.committed.where(), file))
		b.must(err)
		got = string(data)
	}
	if w != "" {
		w = string(word(w))
	}
	if got != w {
		b.t.Errorf("%s: the version of %s has %q in %s, want %q", when, name, got, file, w)
	}
}

// reads fails the test unless the live name of a file has this word, "" for none.
func (p *process) reads(name, w string) {
	p.b.t.Helper()
	data, err := p.read(name)
	switch {
	case w == "" && errors.Is(err, unix.ENOENT):
	case w == "" || err != nil || string(data) != string(word(w)):
		p.b.t.Errorf("%s is %q, %v; want %q", name, data, err, w)
	}
}

// lists fails the test unless a listing of the run is this.
func (p *process) lists(want ...string) {
	p.b.t.Helper()
	names, err := p.list("")
	if err != nil || !slices.Equal(names, want) {
		p.b.t.Errorf("a listing is %q, %v; want %q", names, err, want)
	}
}

// A checkpoint that is a file is committed when it is closed; the views show it in
// a directory, the backing directory under its name, and what it replaced is kept
// (P1, P2, P4).
func TestFileCheckpoint(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("epoch_1.json", "one")
		b.sees("saved", map[string]string{"latest/epoch_1.json": "one", "by-epoch/1/epoch_1.json": "one"})
		b.holds("saved", map[string]string{"epoch_1.json": "one"})
		p.saveWord("last.json", "two")

		h, err := p.create("last.json")
		b.must(err)
		_, err = h.Write(word("three"))
		b.must(err)
		p.reads("last.json", "three")
		other := b.process()
		other.reads("last.json", "two")
		other.lists("epoch_1.json", "last.json")
		b.pass(time.Hour)
		b.sees("while it is written", map[string]string{"resume/last.json": "two"})
		b.must(p.close(h))
		b.pass(time.Millisecond)
		b.sees("closed", map[string]string{"resume/last.json": "three"})
		b.holds("closed", map[string]string{"last.json": "three"})
		other.reads("last.json", "three")

		rec := b.locate("last.json").rec
		if len(rec.history) != 1 || rec.history[0].Files[0].Path != "last.json" {
			t.Errorf("the history is %v", rec.history)
		}
		b.restart()
		b.sees("restarted", map[string]string{"resume/last.json": "three"})
		if rec := b.locate("last.json").rec; len(rec.history) != 1 || rec.committed.Adopted {
			t.Errorf("restarted: the version is %v, its history %v", rec.committed, rec.history)
		}
		for _, dir := range []string{stagingDir, journalDir} {
			if left := b.left(dir); len(left) > 0 {
				t.Errorf("%s holds %v", dir, left)
			}
		}
	})
}

// A writer that is killed changes nothing (P3).
func TestFileCheckpointKilled(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("last.json", "old")
		h, err := p.create("last.json")
		b.must(err)
		_, err = h.Write(word("half")[:5])
		b.must(err)
		p.die()
		q := b.process()
		b.pass(time.Minute)
		q.reads("last.json", "old")
		b.sees("killed", map[string]string{"latest/last.json": "old"})

		h, err = q.create("epoch_1.json")
		b.must(err)
		_, err = h.Write(word("half")[:5])
		b.must(err)
		q.die()
		b.pass(time.Minute)
		b.process().lists("last.json")
		if left := b.left(quarantineDir); len(left) != 4 {
			t.Errorf("held back are %v", left)
		}
		if left := b.left(stagingDir); len(left) != 0 {
			t.Errorf("staged are %v", left)
		}
	})
}

// A damaged file is not shown.
func TestFileCheckpointDamaged(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		p.saveWord("last.json", "old")
		b.must(p.write("last.json", []byte(`{"word": `)))
		b.pass(time.Minute)
		b.sees("damaged", map[string]string{"latest/last.json": "old"})
		b.holds("damaged", map[string]string{"last.json": "old"})
		p.saveWord("last.json", "new")
		b.sees("whole again", map[string]string{"latest/last.json": "new"})
	})
}

// A group of files is one checkpoint.
func TestGroupCheckpoint(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		save := func(n int, w string) {
			b.must(p.write(fmt.Sprintf("ckpt-%d.data-0-of-1.json", n), word(w)))
			b.must(p.write(fmt.Sprintf("ckpt-%d.index.json", n), word(w)))
		}
		save(7, "seven")
		p.lists("ckpt-7.data-0-of-1.json", "ckpt-7.index.json")
		b.sees("written", map[string]string{"latest/ckpt-7.index.json": ""})
		b.settle()
		b.sees("settled", map[string]string{"latest/ckpt-7.index.json": "seven", "by-step/7/ckpt-7.index.json": "seven"})
		b.keeps("settled", "ckpt-7", "ckpt-7.data-0-of-1.json", "seven")
		b.holds("settled", map[string]string{"ckpt-7.data-0-of-1.json": "seven", "ckpt-7.index.json": "seven"})
		save(8, "eight")
		b.pass(time.Minute)
		b.sees("the next", map[string]string{"latest/ckpt-8.index.json": "eight"})

		// Removed file by file, the version stays until the last is gone.
		b.must(p.unlink("ckpt-7.index.json"))
		b.settle()
		p.lists("ckpt-7.data-0-of-1.json", "ckpt-8.data-0-of-1.json", "ckpt-8.index.json")
		b.keeps("half removed", "ckpt-7", "ckpt-7.index.json", "seven")
		b.must(p.unlink("ckpt-7.data-0-of-1.json"))
		p.lists("ckpt-8.data-0-of-1.json", "ckpt-8.index.json")
		b.keeps("removed", "ckpt-7", "ckpt-7.index.json", "")
		b.sees("removed", map[string]string{"latest/ckpt-8.index.json": "eight"})
		b.holds("removed", map[string]string{"ckpt-7.data-0-of-1.json": "", "ckpt-7.index.json": ""})
		if left := b.left(trashDir); len(left) != 2 {
			t.Errorf("in the trash are %v", left)
		}
		b.restart()
		b.sees("restarted", map[string]string{"latest/ckpt-8.data-0-of-1.json": "eight"})
	})
}

// Retention takes checkpoints that are files, and tells the kernel of their names;
// what it keeps is untouched (P6).
func TestFilesArePruned(t *testing.T) {
	inFiles(t, func(b *bench) {
		p := b.process()
		for i := range 5 {
			p.saveWord(fmt.Sprintf("epoch_%d.json", i+1), fmt.Sprint(i+1))
		}
		keep := 2
		b.configure(func(c *policy.Config) { c.Retention.EpochEnd.KeepLast = &keep })
		b.pass(2 * housekeeping)
		b.process().lists("epoch_4.json", "epoch_5.json")
		b.holds("pruned", map[string]string{"epoch_1.json": "", "epoch_3.json": "", "epoch_4.json": "4", "epoch_5.json": "5"})
		b.sees("pruned", map[string]string{"by-epoch/3/epoch_3.json": "", "latest/epoch_5.json": "5"})
	})
}

// What status and ls say of a save of files, and of one that was held back.
func TestFilesInReports(t *testing.T) {
	inFiles(t, func(b *bench) {
		b.must(os.Mkdir(b.backing("a"), 0o755))
		p := b.process()
		p.saveWord("a/last.json", "one")
		h, err := p.create("a/last.json")
		b.must(err)
		if st := b.Status(); len(st.Runs) != 2 || len(st.Runs[1].Saves) != 1 || st.Runs[1].Saves[0].Writers != 1 || st.Runs[1].Saves[0].Name != "last.json" {
			t.Errorf("status is %+v", st.Runs)
		}
		_, err = h.Write([]byte("{"))
		b.must(err)
		p.die()
		b.pass(time.Minute)
		var rows []string
		for _, r := range b.List(true).Runs {
			for _, c := range r.Checkpoints {
				rows = append(rows, fmt.Sprint(r.Path, " ", c.Name, " ", c.State))
			}
		}
		if want := []string{"a last.json committed", "a a/last.json quarantine"}; !slices.Equal(rows, want) {
			t.Errorf("ls lists %q, want %q", rows, want)
		}
		if x := b.Xattrs("a/last.json"); x["user.ckptfs.state"] != "committed" || x["user.ckptfs.kind"] != "last" {
			t.Errorf("its attributes are %v", x)
		}
	})
}

// Who only looks at a directory sees its files as checkpoints, and leaves nothing.
func TestLookAtFiles(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"epoch_1.pth", "epoch_2.pth", "epoch_3.pth"} {
		c := content{name, byte(i + 1), 0}
		if err := os.WriteFile(filepath.Join(dir, name), c.file(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	look := func() (out []string) {
		root, err := disk.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		s, err := Look(root, Options{Config: policy.Default()})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.List(true).Runs[0].Checkpoints {
			out = append(out, fmt.Sprint(c.Name, " ", c.State, " ", c.Size > 0))
		}
		return out
	}
	want := []string{"epoch_1.pth committed true", "epoch_2.pth committed true", "epoch_3.pth committed true"}
	if got := look(); !slices.Equal(got, want) {
		t.Errorf("never mounted: %q", got)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("looking has left %v, %v", left, err)
	}
	s, err := mountOnce(dir, nil)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := look(); !slices.Equal(got, want) {
		t.Errorf("mounted before: %q", got)
	}
}
