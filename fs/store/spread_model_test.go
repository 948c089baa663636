package store

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Random lives of a run whose checkpoints are files and a group of files: what
// TestAnyLife promises of directories, and that the live tree, its listing and the
// run say the same.
func TestAnyLifeOfFiles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		way := ways[rapid.IntRange(0, len(ways)-1).Draw(rt, "way")]
		steps := rapid.SliceOfN(rapid.Custom(drawFileStep), 1, 60).Draw(rt, "steps")
		unlinked := rapid.IntRange(0, 9).Draw(rt, "unlinked") == 0
		var err error
		synctest.Test(t, func(t *testing.T) { err = liveInFiles(rt, t.TempDir(), way, unlinked, steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// fileStep is one thing that happens to files.
type fileStep struct {
	what        string
	name, other string
	percent     int
	tear        int
	time        time.Duration
}

var (
	fileHappenings = []string{
		"write", "write", "shard", "half", "rename in", "link", "unlink", "rename", "rename out", "touch", "edit",
		"die", "exit", "crash", "power cut", "fault", "sync", "wait",
	}
	fileNames  = []string{"last.pth", "recovery.pth", "epoch_1.pth"}
	fileShards = []string{"state.shard0.pth", "state.shard1.pth"}
	allFiles   = append(append([]string{"plain"}, fileNames...), fileShards...)
)

func drawFileStep(rt *rapid.T) fileStep {
	return fileStep{
		what:    rapid.SampledFrom(fileHappenings).Draw(rt, "what"),
		name:    rapid.SampledFrom(fileNames).Draw(rt, "name"),
		other:   rapid.SampledFrom(allFiles).Draw(rt, "other"),
		percent: rapid.IntRange(0, 99).Draw(rt, "percent"),
		tear:    rapid.IntRange(0, len(tears)-1).Draw(rt, "tear"),
		time:    rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 25 * time.Hour}).Draw(rt, "time"),
	}
}

// fileLife is one random run of files.
type fileLife struct {
	*bench
	trainer *process
	next    int
	high    map[string]int // the newest save that was committed under each name
	partial bool           // a file of the group was taken away: it may end as a removal
}

func liveInFiles(t rapid.TB, dir string, w way, unlinked bool, steps []fileStep) error {
	l := &fileLife{bench: newBench(t, dir), high: map[string]int{}}
	l.on(w)
	l.use(spreadPatterns()[0])
	if unlinked {
		l.over = withoutLinks
	}
	if err := l.tryStart(); err != nil {
		return err
	}
	defer func() { l.stop() }()
	l.trainer = l.process()
	for i, st := range steps {
		err := l.take(st)
		if errors.Is(err, errFault) { // the trainer was told, and gives up
			l.trainer.exit(1)
			l.trainer = l.process()
			err = nil
		}
		synctest.Wait()
		if err = errors.Join(err, l.promises()); err != nil {
			return fmt.Errorf("step %d, %s %s: %w", i+1, st.what, st.name, err)
		}
	}
	return nil
}

func (l *fileLife) data() []byte {
	l.next++
	return content{fmt.Sprint(l.next), 1, 1}.file()
}

// forget says that a name may hold anything from now on.
func (l *fileLife) forget(names ...string) {
	for _, name := range names {
		delete(l.high, name)
		if name == fileShards[0] || name == fileShards[1] {
			delete(l.high, "state")
			l.partial = true
		}
	}
}

func (l *fileLife) take(st fileStep) error {
	p := l.trainer
	switch st.what {
	case "write":
		return p.write(st.name, l.data())
	case "shard":
		data := l.data()
		for _, name := range fileShards {
			if err := p.write(name, data); err != nil {
				return err
			}
		}
		l.partial = false
	case "half": // of the group's next save, and no more
		err := p.write(fileShards[0], l.data())
		p.die()
		l.trainer = l.process()
		return err
	case "rename in":
		return errors.Join(p.write("tmp", l.data()), p.rename("tmp", st.name))
	case "link":
		if st.other != "plain" && p.exists(st.other) && !p.exists(st.name) {
			l.forget(st.name)
			return ignore(p.link(st.other, st.name), unix.EBUSY)
		}
	case "unlink":
		l.forget(st.other)
		return ignore(p.unlink(st.other), unix.ENOENT)
	case "rename":
		if p.exists(st.other) {
			l.forget(st.name, st.other)
			return ignore(p.rename(st.other, st.name), unix.EBUSY)
		}
	case "rename out":
		if st.other != "plain" && p.exists(st.other) {
			l.forget(st.other)
			return ignore(p.rename(st.other, "plain"), unix.EBUSY)
		}
	case "touch":
		if a, err := p.stat(st.other); err == nil {
			when := unix.Timespec{Sec: 1_600_000_000 + int64(l.next)}
			_, err := l.SetAttr(st.other, a.Ident, nil, Change{Mtime: &when}, p.caller())
			return err
		}
	case "edit": // the same content again, or what an ordinary file has
		data, err := p.read(st.other)
		if err != nil {
			return ignore(err, unix.ENOENT)
		}
		l.forget(st.name)
		return p.write(st.name, data)
	case "die":
		h, err := p.create(st.other)
		if err != nil {
			return err
		}
		data := l.data()
		if _, err := h.Write(data[:len(data)*st.percent/100]); err != nil {
			return err
		}
		p.die()
		l.trainer = l.process()
		if st.other == "plain" {
			return l.trainer.unlink("plain")
		}
	case "exit":
		p.exit(0)
		l.trainer = l.process()
	case "fault":
		l.disk.failAt(st.percent, errFault)
	case "sync":
		_ = l.SyncDir("") // a commit that had failed earlier is told again: the data is not safe
	case "crash":
		l.crash()
		return l.mountAgain()
	case "power cut":
		l.crash()
		l.boot += "+1"
		return errors.Join(l.tearUnsynced(tears[st.tear]), l.mountAgain())
	case "wait":
		l.pass(st.time)
	}
	return nil
}

func (l *fileLife) mountAgain() error {
	l.trainer.die()
	l.trainer = l.process()
	return l.tryStart()
}

// promises are P1, P4 and P2 as far as they can be told from outside, and that
// every listed file is there and can be read.
func (l *fileLife) promises() error {
	errs := []error{l.checkViews(), checkPlain(l.dir)}
	for _, name := range append([]string{"state"}, fileNames...) {
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
		if name != "state" || !l.partial {
			l.high[name] = max(n, l.high[name])
		}
	}
	names, err := l.trainer.list("")
	errs = append(errs, err)
	listed := map[string]bool{}
	for _, name := range names {
		listed[name] = true
		if _, err := l.trainer.read(name); err != nil {
			errs = append(errs, fmt.Errorf("%s is listed: %w", name, err))
		}
	}
	for _, name := range allFiles {
		if l.trainer.exists(name) != listed[name] {
			errs = append(errs, fmt.Errorf("%s is there: %v, and listed: %v", name, !listed[name], listed[name]))
		}
	}
	return errors.Join(errs...)
}
