package fs_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"ckptfs/testdata/figures"
)

// life is one run directory in a mount, the processes that work in it, and the
// model of both.
type life struct {
	m       *mounted
	dir     string // within the mount
	model   *model
	procs   map[int]*modelWorkerProcess
	script  []string
	before  []string        // saves that an earlier life left, which had failed
	ever    map[string]bool // names that were used: absent ones are looked at too
	quick   bool            // its mount commits as soon as it can
	looking bool            // all of it is looked at after each step, else at the end only
}

// beginLife makes an empty run directory and the processes in it.
func beginLife(m *mounted, pool map[int]*modelWorkerProcess, n int, quick, looking bool) (*life, error) {
	l := &life{m: m, dir: fmt.Sprintf("life%05d", n), model: newModel(), procs: pool, ever: map[string]bool{}, quick: quick, looking: looking}
	l.before = l.staged()
	if err := os.Mkdir(m.path(l.dir), 0o755); err != nil {
		return nil, err
	}
	for p := 1; p <= 2; p++ {
		l.model.open[p] = map[string]*handle{}
		if err := l.hire(p); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// hire has a process p in this life: a new one if there is none.
func (l *life) hire(p int) error {
	if l.procs[p] == nil {
		w, err := startModelWorker()
		if err != nil {
			return err
		}
		l.procs[p] = w
	}
	_, err := l.procs[p].do("in " + l.m.path(l.dir))
	return err
}

// step does one operation to both, and compares.
func (l *life) step(o op) error {
	if l.model.undecided(o, l.quick) {
		if err := l.step(op{0, "settle", nil}); err != nil {
			return err
		}
	}
	want, wantErr := l.model.apply(o)
	if errors.Is(wantErr, errSkip) {
		return nil
	}
	l.script = append(l.script, o.String())
	for _, a := range o.args {
		if strings.ContainsAny(a, "_./") || a == "logs" || a == "nested" || a == "moved" {
			l.ever[a] = true
		}
	}
	if err := l.carryOut(o, want, wantErr); err != nil {
		return err
	}
	if err := l.released(); err != nil {
		return err
	}
	return l.compare(l.looking, false)
}

func (l *life) carryOut(o op, want string, wantErr error) error {
	switch o.verb {
	case "settle":
		return os.WriteFile(l.m.path(".ckptfs", "control"), []byte("settle\n"), 0)
	case "crash", "remount":
		return l.mountAgain(o.verb == "crash")
	case "kill", "exit":
		l.procs[o.proc].end(o.verb + " " + strings.Join(o.args, " "))
		l.procs[o.proc] = nil
		return l.hire(o.proc)
	}
	got, err := l.procs[o.proc].do(strings.Join(append([]string{o.verb}, o.args...), " "))
	if wantErr == unix.ENOTEMPTY && err == unix.EISDIR && o.verb == "rename" {
		return nil // onto a directory above it that has just left a checkpoint: the kernel looks twice
	}
	switch {
	case !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil):
		return fmt.Errorf("it answers %v; want %v", told(err), told(wantErr))
	case err == nil && got != want:
		return fmt.Errorf("it answers %s; want %s", named(got), named(want))
	}
	return nil
}

func told(err error) string {
	if err == nil {
		return "ok"
	}
	return errnoName(err)
}

// mountAgain ends ckptfs, by a signal that it cannot catch or in the orderly
// way, and starts it again.
func (l *life) mountAgain(crash bool) error {
	for p := range l.procs { // with nothing open; a dead mount answers ENOTCONN
		if !crash {
			if err := l.hire(p); err != nil {
				return err
			}
		}
	}
	if crash {
		takeAway := l.m.kill()
		for p := range l.procs {
			if err := l.hire(p); err != nil {
				return err
			}
		}
		takeAway()
		if err := l.compareBacking("", l.model.root); err != nil {
			return err
		}
	} else {
		if err := l.released(); err != nil {
			return err
		}
		l.m.stop()
		if err := l.compareBacking("", l.model.root); err != nil {
			return err
		}
	}
	l.m.start()
	l.model.remounted(l.backing, func(name string) bool { return exists(l.m.path(l.dir, name)) })
	return nil
}

// released waits until the kernel has told ckptfs of every close: it does so a
// moment after the last close(2) has returned.
func (l *life) released() error {
	want := 0
	l.model.root.below("", func(_ string, e *entry) {
		for _, d := range e.drafts {
			want += len(d.handles)
		}
	})
	got := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) { // the pace of asking
		b, err := os.ReadFile(l.m.path(".ckptfs", "metrics"))
		if err != nil {
			return err
		}
		_, got, _ = strings.Cut(string(b), "\nckptfs_open_writers ")
		got, _, _ = strings.Cut(got, "\n")
		if got == fmt.Sprint(want) {
			return nil
		}
	}
	return fmt.Errorf("%s files of checkpoints are open for writing; want %d", got, want)
}

// soon tries again for a moment: a commit may be under way.
func (l *life) soon(f func() error) error {
	err := f()
	for end := time.Now().Add(2 * time.Second); err != nil && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond) // the pace of asking
		err = f()
	}
	return err
}

// compare holds what there is against the model: the backing directory, and with
// look what each process finds.
func (l *life) compare(look, both bool) error {
	return l.soon(func() error {
		err := l.compareBacking("", l.model.root)
		for p := 1; p <= 2 && look && err == nil; p++ {
			if !both && p != 1+len(l.script)%2 {
				continue // they take turns
			}
			if err = l.compareSeen(p); err != nil {
				err = fmt.Errorf("process %d: %w", p, err)
			}
		}
		return err
	})
}

// end removes what is left of a life; nothing stays behind, shown or hidden.
func (l *life) end() error {
	err := l.compare(true, true)
	for p := range l.procs {
		err = errors.Join(err, l.hire(p)) // it closes what it has open
	}
	if err != nil {
		return err
	}
	for p := range l.model.open {
		for _, fd := range sortedKeys(l.model.open[p]) {
			l.model.closeFile(p, fd)
		}
	}
	if err := l.released(); err != nil {
		return err
	}
	if err := os.RemoveAll(l.m.path(l.dir)); err != nil {
		return fmt.Errorf("remove the run: %w", err)
	}
	return l.soon(func() error {
		for _, name := range l.staged() {
			if !slices.Contains(l.before, name) {
				return fmt.Errorf("after the run was removed, %s is left in staging", name)
			}
		}
		return nil
	})
}

func (l *life) staged() []string {
	names, _ := listNames(filepath.Join(l.m.back, ".ckptfs", "staging"))
	return names
}

// abandon cleans up after a life that went wrong, so that another can begin.
func (l *life) abandon() {
	for p, w := range l.procs {
		w.end("kill")
		delete(l.procs, p)
	}
	if err := os.RemoveAll(l.m.path(l.dir)); err != nil {
		l.m.t.Logf("clean up: %v", err)
	}
}

// P1 to P5: random lives of a run, in which two processes do what trainers and
// people do and worse, and ckptfs is killed and mounted again. After every step
// all that can be seen is as the model says.
func TestModel(t *testing.T) {
	mounts := modelMounts(t)
	pool := map[int]*modelWorkerProcess{}
	t.Cleanup(func() {
		for _, w := range pool {
			w.end("kill")
		}
	})
	lives, steps := 0, 0
	oneLife := func(rt *rapid.T) {
		quick := rapid.IntRange(0, 1).Draw(rt, "quick")
		m := mounts[quick]
		looking := rapid.IntRange(0, 3).Draw(rt, "looking") > 0
		begins := rapid.SampledFrom(sortedKeys(beginnings)).Draw(rt, "begins")
		drawn := rapid.SliceOfN(rapid.Custom(drawStep), 15, 60).Draw(rt, "steps")
		lives++
		l, err := beginLife(m, pool, lives, quick == 1, looking)
		do := func(ops []op) {
			for _, o := range ops {
				if err == nil {
					err = l.step(o)
					steps++
				}
			}
		}
		do(beginnings[begins])
		for _, ops := range drawn {
			if err == nil {
				do(ops(l.model))
			}
		}
		if err == nil {
			err = l.end()
		}
		if err != nil {
			l.abandon()
			rt.Fatalf("%s\n^ %v", strings.Join(l.script, "\n"), err)
		}
	}
	// The short run is the same every time; MODEL_TIME asks for a longer one.
	setFlag(t, "rapid.seed", "11")
	setFlag(t, "rapid.checks", "8")
	setFlag(t, "rapid.nofailfile", "true")
	until := time.Now()
	if s := os.Getenv("MODEL_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("MODEL_TIME=%s: %v", s, err)
		}
		until = until.Add(d)
		setFlag(t, "rapid.seed", "0")
		setFlag(t, "rapid.checks", "40")
	}
	for again := true; again && !t.Failed(); again = time.Now().Before(until) {
		rapid.Check(t, oneLife)
	}
	figures.Report(t, "lives against the model", "%d, %d operations, 0 differences", lives, steps)
}

func setFlag(t *testing.T, name, value string) {
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(name, old) })
}

// What random lives have found, and what was mended since.
func TestModelScripts(t *testing.T) {
	scripts, err := filepath.Glob("../testdata/model/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	mounts := modelMounts(t)
	pool := map[int]*modelWorkerProcess{}
	t.Cleanup(func() {
		for _, w := range pool {
			w.end("kill")
		}
	})
	for i, script := range scripts {
		for way := range 4 {
			quick, looking := way%2 == 1, way < 2 // who looks has the kernel ask anew
			t.Run(fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(script), ".txt"), way), func(t *testing.T) {
				l, err := beginLife(mounts[way%2], pool, 4*i+way, quick, looking)
				for line := range strings.Lines(read(t, script)) {
					if line = strings.TrimSpace(line); err != nil || line == "" || strings.HasPrefix(line, "#") {
						continue
					}
					var o op
					if o, err = parseOp(line); err == nil {
						err = l.step(o)
					}
				}
				if err == nil {
					err = l.end()
				}
				if err != nil {
					l.abandon()
					t.Errorf("%s\n^ %v", strings.Join(l.script, "\n"), err)
				}
			})
		}
	}
}

// modelMounts are two mounts over fresh directories: one whose saves settle at
// once, one where only boundaries commit.
func modelMounts(t *testing.T) [2]*mounted {
	var out [2]*mounted
	for i, settle := range []string{"1h", "5ms"} {
		back, mnt := t.TempDir(), t.TempDir()
		out[i] = mountAt(t, back, mnt, "save: {settle: "+settle+"}\nretention: {protect_last: false, trash_ttl: 1s}\n")
	}
	return out
}
