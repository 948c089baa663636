package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk/disktest"
)

// A power cut at every moment of a save, in every pattern, on every disk that it
// may leave: see disktest.Memory. Each state is mounted, and recovery is cut in
// its turn.

// scene is one save that is recorded.
type scene struct {
	pattern  pattern
	exchange bool // the file system can swap two directories
	first    bool // the save is the first after the first mount
}

func (sc scene) String() string {
	name := sc.pattern.name
	if !sc.exchange {
		name += ", two renames"
	}
	if sc.first {
		name += ", first mount"
	}
	return name
}

// again is a save whose first attempt is killed.
var again = pattern{name: "a killed attempt, then a whole one", save: func(p *process, c content) error {
	first := p.b.process()
	files := content{"killed", c.epoch, c.step}.files()
	for _, name := range checkpointFiles[1:] {
		if err := first.write(path.Join(last, name), files[name]); err != nil {
			return err
		}
	}
	first.die()
	return p.save(last, c)
}}

// twice is a save whose first attempt is complete, and is killed when it has
// written its last file again.
var twice = pattern{name: "an attempt that writes its last file twice and is killed, then a whole one", given: "killed",
	save: func(p *process, c content) error {
		first := p.b.process()
		if err := first.save(last, content{"killed", c.epoch, c.step}); err != nil {
			return err
		}
		file := checkpointFiles[len(checkpointFiles)-1]
		if err := first.write(path.Join(last, file), content{"again", c.epoch, c.step}.files()[file]); err != nil {
			return err
		}
		first.die()
		return p.save(last, c)
	}}

// scenes are all patterns, and once more those that differ where two directories
// cannot be swapped, or where nothing private is there yet.
func scenes() (out []scene) {
	for _, p := range allPatterns() {
		out = append(out, scene{pattern: p, exchange: true})
	}
	overwrite, aside := patterns[1], patterns[3]
	file, group := spreadPatterns()[0], spreadPatterns()[3]
	out = append(out,
		scene{pattern: file}, scene{pattern: group},
		scene{pattern: file, exchange: true, first: true}, scene{pattern: group, first: true})
	return append(out,
		scene{pattern: again, exchange: true}, scene{pattern: twice, exchange: true},
		scene{pattern: overwrite}, scene{pattern: aside},
		scene{pattern: overwrite, exchange: true, first: true}, scene{pattern: overwrite, first: true})
}

var (
	oldSave = content{"old", 2, 0}
	newSave = content{"new", 3, 1}
)

// onMemory runs f over a store whose disk is m, and closes it.
func (sc scene) onMemory(t *testing.T, m *disktest.Memory, boot string, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, os.TempDir())
		b.memory, b.exchange, b.boot = m, sc.exchange, boot
		b.log = slog.New(marker{m})
		b.use(sc.pattern)
		defer b.stop()
		f(b)
	})
}

// marker marks in the recording when the store says that it has committed: from
// then on the views show the new version.
type marker struct{ disk *disktest.Memory }

func (marker) Enabled(context.Context, slog.Level) bool { return true }
func (m marker) WithAttrs([]slog.Attr) slog.Handler     { return m }
func (m marker) WithGroup(string) slog.Handler          { return m }
func (m marker) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "committed" {
		m.disk.Mark("committed")
	}
	return nil
}

// record saves once in the pattern, over a run with a history, until all that
// comes after the commit is done too.
func (sc scene) record(t *testing.T) *disktest.Recording {
	t.Helper()
	m := disktest.NewMemory(t.TempDir())
	sc.onMemory(t, m, "before", func(b *bench) {
		b.start()
		b.seed(map[string]content{sc.pattern.spare(): {"spare", 1, 1}, sc.pattern.last(): {"older", 1, 0}})
		b.seed(map[string]content{sc.pattern.last(): oldSave})
		b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
		if sc.first {
			b.stop()
			b.must(forget(m, Private))
			m.Settle()
			b.start()
			b.settle() // hashes what it has found
		} else {
			m.Settle()
		}
		p := b.process()
		b.must(sc.pattern.save(p, newSave))
		b.settle()
		b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
		b.shows("recorded", map[string]string{"latest": "new"})
	})
	return m.Recording()
}

// lost is what is wrong with a state, nil when every promise holds.
//
// P1: every view is whole. P2: what a view has shown before the cut is there, and
// the other checkpoints are. P4: under natural names there are whole checkpoints
// only. A version that was shown is the same version, with its hashes.
func (sc scene) lost(t *testing.T, s *disktest.State) (recovery *disktest.Recording, wrong error) {
	t.Helper()
	pool, err := os.MkdirTemp(quickest(), "disk")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(pool)
	m, err := s.Disk(pool)
	if err != nil {
		t.Fatal(err)
	}
	sc.onMemory(t, m, "after", func(b *bench) {
		wrong = sc.afterCut(b, s.Marks)
		recovery = m.Recording()
	})
	return recovery, wrong
}

// quickest is where small files are made in no time, "" for the usual place.
func quickest() string {
	const memory = "/dev/shm"
	if unix.Access(memory, unix.W_OK) == nil {
		return memory
	}
	return ""
}

func (sc scene) afterCut(b *bench, marks []string) error {
	if err := b.tryStart(); err != nil {
		return fmt.Errorf("it does not mount: %w", err)
	}
	at := func(when string) error {
		token, err := b.view("latest")
		if errors.Is(err, errNoView) {
			token, err = "nothing", nil
		}
		b.memory.Mark("shown " + token)
		if allowed := sc.allowed(marks); err == nil && !slices.Contains(allowed, token) {
			err = fmt.Errorf("latest/ shows %s, and not one of %q", token, allowed)
		}
		spare, serr := b.committed(sc.pattern.spare())
		if serr == nil && spare != "spare" {
			serr = fmt.Errorf("%s holds %q", sc.pattern.spare(), spare)
		}
		if err = errors.Join(err, serr, b.checkViews(), plainMemory(b.memory), sc.hashed(b, token), sc.kept(b, token), wholeTrash(b)); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		return nil
	}
	if err := at("mounted"); err != nil {
		return err
	}
	b.settle()
	if err := at("settled"); err != nil {
		return err
	}
	before := b.tokens()
	b.crash()
	if err := b.tryStart(); err != nil {
		return fmt.Errorf("it does not mount again: %w", err)
	}
	for name, token := range b.tokens() {
		if before[name] != token {
			return fmt.Errorf("mounted again: %s was %q and is %q", name, before[name], token)
		}
	}
	return nil
}

// allowed are the saves that latest/ may show after what was shown before.
func (sc scene) allowed(marks []string) []string {
	if slices.Contains(marks, "committed") || slices.Contains(marks, "shown new") {
		return []string{"new"}
	}
	if sc.pattern.gap && !slices.Contains(marks, "shown old") {
		return []string{"new", "old", "spare"}
	}
	if sc.pattern.given != "" {
		return []string{"new", "old", sc.pattern.given}
	}
	return []string{"new", "old"}
}

// hashed checks the version that latest/ shows against its manifest, when it is
// one that was committed: a version that was shown does not become one that was
// found.
func (sc scene) hashed(b *bench, token string) error {
	v := b.version("latest")
	if v == nil || token == "nothing" || sc.first && token == "old" {
		return nil
	}
	if v.Adopted {
		return fmt.Errorf("the manifest of %s is lost", token)
	}
	for _, f := range v.Files {
		if sum, err := b.hash(path.Join(v.where(), f.Path)); err != nil || sum != f.XXH3 {
			return fmt.Errorf("%s of %s is not what its manifest says (%v)", f.Path, token, err)
		}
	}
	return nil
}

// plainMemory is P4 on a disk in memory.
func plainMemory(m *disktest.Memory) error {
	var errs []error
	list, err := m.ReadDir("")
	for _, e := range list {
		if spreadFiles(e.Name) != nil {
			if _, err := loadFiles([]string{e.Name}, func(name string) ([]byte, error) { return fs.ReadFile(m.Sub(""), name) }); err != nil {
				errs = append(errs, fmt.Errorf("in the backing directory: %w", err))
			}
			continue
		}
		if !strings.Contains(e.Name, "checkpoint") || strings.HasPrefix(e.Name, ".tmp_") {
			continue
		}
		fsys := m.Sub(e.Name)
		if _, err := loadWhole(func(name string) ([]byte, error) { return fs.ReadFile(fsys, name) }); err != nil {
			errs = append(errs, fmt.Errorf("in the backing directory: %s: %w", e.Name, err))
		}
	}
	return errors.Join(append(errs, err)...)
}

// wholeTrash checks that what counts as a version in the trash is one: it may be
// the last that there is.
func wholeTrash(b *bench) error {
	for _, t := range b.trashOldestFirst() {
		if !t.Valid {
			continue
		}
		if t.version == nil {
			return fmt.Errorf("%s in the trash counts as a version, without a manifest", t.Name)
		}
		for _, f := range t.version.Files {
			if sum, err := b.hash(path.Join(t.path(), f.Path)); err != nil || sum != f.XXH3 {
				return fmt.Errorf("%s in the trash counts as a version, and %s is not what its manifest says (%v)", t.Name, f.Path, err)
			}
		}
	}
	return nil
}

// kept checks that the version before is still found by its number, as long as
// the trainer has not deleted it.
func (sc scene) kept(b *bench, token string) error {
	if sc.pattern.gap || token != "new" {
		return nil
	}
	if before, err := b.view("by-epoch/2"); err != nil || before != "old" {
		return fmt.Errorf("by-epoch/2 shows %q, not the version before (%v)", before, err)
	}
	return nil
}

// forget removes a tree from a disk.
func forget(m *disktest.Memory, p string) error {
	list, err := m.ReadDir(p)
	if err != nil {
		return err
	}
	for _, e := range list {
		child := path.Join(p, e.Name)
		if e.Type == unix.S_IFDIR {
			err = forget(m, child)
		} else {
			err = m.Unlink("forget", child)
		}
		if err != nil {
			return err
		}
	}
	return m.Rmdir("forget", p)
}

func numberedEvents(events []disktest.Event) (out string) {
	for i, e := range events {
		out += fmt.Sprintf("%4d %s\n", i, e)
	}
	return out
}
