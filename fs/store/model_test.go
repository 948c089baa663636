package store

import (
	"errors"
	"flag"
	"fmt"

	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// A life takes a while: twenty of them are enough for each run of the tests.
func init() { flag.Set("rapid.checks", "20") }

// Random lives of a run: trainers that save file by file in all patterns, stop,
// die and are replaced, the daemon that crashes, time that passes. After every
// step every view shows one whole checkpoint (P1), under natural names there are
// whole checkpoints only (P4), and the committed content of a name never goes
// back (P2) unless the name was deleted.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		way := ways[rapid.IntRange(0, len(ways)-2).Draw(rt, "way")] // not the one that no trainer could rename on
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 60).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = live(rt, t.TempDir(), way, steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// step is one thing that happens, with all that may have to be decided for it.
type step struct {
	what                     string
	name, other, file        string
	temporary, aside, remove bool // how a save gets into place
	percent                  int  // of a file that is written before its writer is killed; or which call fails
	tear                     int
	time                     time.Duration
}

var (
	happenings = []string{
		"write", "finish", "delete", "unlink", "rename", "log", "sync", "edit",
		"die", "exit", "crash", "power cut", "fault", "wait",
	}
	names = []string{last, "recovery_checkpoint", "checkpoint_epoch1_step1"}
	tears = []tear{cutInHalf, emptied, zeroed}
)

func drawStep(rt *rapid.T) step {
	return step{
		what:      rapid.SampledFrom(happenings).Draw(rt, "what"),
		name:      rapid.SampledFrom(names).Draw(rt, "name"),
		other:     rapid.SampledFrom(names).Draw(rt, "other"),
		file:      rapid.SampledFrom(checkpointFiles).Draw(rt, "file"),
		temporary: rapid.Bool().Draw(rt, "temporary"),
		aside:     rapid.Bool().Draw(rt, "aside"),
		remove:    rapid.Bool().Draw(rt, "remove"),
		percent:   rapid.IntRange(0, 99).Draw(rt, "percent"),
		tear:      rapid.IntRange(0, len(tears)-1).Draw(rt, "tear"),
		time:      rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, time.Hour, 25 * time.Hour}).Draw(rt, "time"),
	}
}

// life is one random run.
type life struct {
	*bench
	trainer *process
	next    int            // the number of the newest save; its token
	open    *unfinished    // the save that the trainer is in the middle of
	high    map[string]int // the newest save that was committed under each name
}

// unfinished is a save of which some files are written.
type unfinished struct {
	dir   string // where they are written: a name, or a temporary
	name  string // the name that they are for
	files map[string][]byte
	left  []string
}

func live(t rapid.TB, dir string, w way, steps []step) error {
	l := &life{bench: newBench(t, dir), high: map[string]int{}}
	l.on(w)
	if err := l.tryStart(); err != nil {
		return err
	}
	defer func() { l.stop() }()
	l.trainer = l.process()
	for i, st := range steps {
		err := l.take(st)
		if errors.Is(err, errFault) { // the trainer was told, and gives up
			l.trainer.exit(1)
			l.replaceTrainer()
			err = nil
		}
		synctest.Wait()
		if err = errors.Join(err, l.promises()); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, st.what, err)
		}
	}
	return nil
}

func (l *life) take(st step) error {
	switch st.what {
	case "write":
		return l.write(st)
	case "finish":
		return l.finish(st)
	case "delete":
		if l.open != nil && l.open.dir == st.name {
			l.open = nil
		}
		delete(l.high, st.name)
		return l.trainer.removeAll(st.name)
	case "unlink":
		if err := l.trainer.unlink(path.Join(st.name, st.file)); !isGone(err) {
			return err
		}
	case "rename":
		if l.trainer.exists(st.name) && !l.trainer.exists(st.other) {
			delete(l.high, st.name)
			delete(l.high, st.other)
			l.open = nil
			return l.trainer.rename(st.name, st.other)
		}
	case "log":
		if l.trainer.exists(st.name) {
			return l.trainer.write(st.name+"/log.txt", []byte("line\n"))
		}
	case "sync":
		// A commit that had failed earlier is told again: the data is not safe.
		_ = l.SyncDir("")
		return nil
	case "edit":
		return l.edit(st)
	case "die":
		return l.die(st)
	case "fault":
		l.disk.failAt(st.percent, errFault)
	case "exit":
		if l.open == nil { // who exits with 0 has finished his save
			l.trainer.exit(0)
			l.replaceTrainer()
		}
	case "crash":
		l.crash()
		return l.mountAgain()
	case "power cut":
		l.crash()
		l.boot += "+1"
		return errors.Join(l.tearUnsynced(tears[st.tear]), l.mountAgain())
	case "wait":
		if l.open == nil || st.time < l.cfg.Save.IncompleteTTL {
			l.pass(st.time)
		}
	}
	return nil
}

// write writes the next file of a save, which it begins when none is open.
func (l *life) write(st step) error {
	if l.open == nil {
		l.next++
		dir := st.name
		if st.temporary {
			dir = ".tmp_" + st.name + "_abcdefgh"
			if err := l.trainer.removeAll(dir); err != nil {
				return err
			}
		}
		c := content{fmt.Sprint(l.next), 1, 1}
		l.open = &unfinished{dir, st.name, c.files(), slices.Clone(checkpointFiles)}
		if err := l.trainer.mkdir(dir); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	o := l.open
	if len(o.left) == 0 {
		return nil
	}
	name := o.left[0]
	o.left = o.left[1:]
	return l.trainer.write(path.Join(o.dir, name), o.files[name])
}

// finish writes what is left of a save, a whole one when none is open, and moves
// a temporary into place.
func (l *life) finish(st step) error {
	for l.open == nil || len(l.open.left) > 0 {
		if err := l.write(st); err != nil {
			return err
		}
	}
	o := l.open
	l.open = nil
	if o.dir == o.name {
		return nil
	}
	backup := ".backup_" + o.name
	if l.trainer.exists(o.name) && st.aside {
		if err := errors.Join(l.trainer.removeAll(backup), l.trainer.rename(o.name, backup), l.promises()); err != nil {
			return err
		}
	} else {
		delete(l.high, o.name)
		if err := l.trainer.removeAll(o.name); err != nil {
			return err
		}
	}
	if err := errors.Join(l.trainer.rename(o.dir, o.name), l.promises()); err != nil || !st.remove {
		return err
	}
	return l.trainer.removeAll(backup)
}

// edit is a tool that changes one file and is done.
func (l *life) edit(st step) error {
	tool := l.process()
	defer tool.exit(0)
	data, err := tool.read(st.name + "/config.json")
	if isGone(err) {
		return nil
	}
	token, err := readToken("config.json", data)
	if err != nil {
		return err
	}
	return tool.write(st.name+"/config.json", fmt.Appendf(nil, `{"token": %q, "edited": true}`, token))
}

// errFault is what a broken disk says.
var errFault = fmt.Errorf("fault: %w", unix.EIO)

// die kills the trainer, in the middle of a file when it is in a save.
func (l *life) die(st step) error {
	if o := l.open; o != nil && len(o.left) > 0 {
		h, err := l.trainer.create(path.Join(o.dir, o.left[0]))
		if err != nil {
			return err
		}
		data := o.files[o.left[0]]
		if _, err := h.Write(data[:len(data)*st.percent/100]); err != nil {
			return err
		}
	}
	l.trainer.die()
	l.replaceTrainer()
	return nil
}

func (l *life) replaceTrainer() { l.trainer, l.open = l.process(), nil }

// mountAgain goes on after a crash, which the trainer did not survive.
func (l *life) mountAgain() error {
	l.trainer.die()
	l.replaceTrainer()
	return l.tryStart()
}

// promises are P1, P4 and P2 as far as they can be told from outside.
func (l *life) promises() error {
	errs := []error{l.checkViews(), checkPlain(l.dir)}
	for _, name := range names {
		token, err := l.committed(name)
		if errors.Is(err, errNoView) {
			token, err = "0", nil
		}
		n := 0
		if err == nil {
			_, err = fmt.Sscan(token, &n)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		if n < l.high[name] {
			errs = append(errs, fmt.Errorf("%s had save %d committed, and has %d now", name, l.high[name], n))
		}
		l.high[name] = max(n, l.high[name])
	}
	return errors.Join(errs...)
}
