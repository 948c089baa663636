package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/disk/disktest"
	"ckptfs/fs/store/proc"
	"ckptfs/layout"
	"ckptfs/policy"
)

// bench is a store under test, and what surrounds it: a directory, processes
// that use it, a clock. It runs in a bubble of testing/synctest, where time
// passes only while everybody waits for it.
type bench struct {
	*Store
	t        rapid.TB
	dir      string
	cfg      policy.Config
	boot     string                                  // of the machine
	exchange bool                                    // the file system can swap two directories
	layouts  []*layout.Layout                        // those that may apply; nil for the built-in ones
	refuse   func(from, to string, flags uint) error // what it answers to a rename
	stopAt   int                                     // the call at which the next mount crashes, or never
	memory   *disktest.Memory                        // the disk, when it is not a real directory
	over     func(disk.Disk) disk.Disk               // what lies over it; may be nil
	log      *slog.Logger
	disk     *faultyDisk
	synced   *synced
	watcher  *watcher // of the present mount; nil when nothing is watched
	watches  bool     // the next start gets one
	lazy     bool     // commits hash nothing: all of that comes later
	procs    *processes
	notes    *notes
}

// inBubble runs a test over a new, empty directory.
func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, t.TempDir())
		b.start()
		defer b.stop()
		f(b)
	})
}

func newBench(t rapid.TB, dir string) *bench {
	// The clock of a bubble starts in the year 2000, that of the files does not.
	if st, err := os.Stat(dir); err == nil {
		time.Sleep(time.Until(st.ModTime()))
	}
	b := &bench{t: t, dir: dir, cfg: policy.Default(), boot: "this boot", exchange: true, stopAt: never, notes: new(notes)}
	b.procs = &processes{ends: map[uint32]proc.End{}}
	b.synced = &synced{seen: map[uint64]disk.Stat{}}
	return b
}

// start opens the store, as a mount does.
func (b *bench) start() {
	b.t.Helper()
	if err := b.tryStart(); err != nil {
		b.t.Fatalf("open the store: %v", err)
	}
}

func (b *bench) tryStart() error {
	root, err := b.openDisk()
	if err != nil {
		return err
	}
	opts := Options{Config: b.cfg, Processes: b.procs, Notify: b.notes, Log: b.log}
	if b.watches {
		b.watcher = newWatcher()
		opts.Mountpoint, opts.Outside = "/mnt", b.watcher
	}
	if b.over != nil {
		root = b.over(root)
	}
	s := newStore(root, opts)
	b.Store, b.disk = s, &faultyDisk{Disk: &tightDisk{Disk: root, dir: b.dir}, synced: b.synced, refuse: b.refuse, crashed: make(chan struct{})}
	if b.stopAt != never {
		b.disk.stopAfter(b.stopAt)
	}
	s.useDisk(b.disk)
	s.boot, s.lazy = b.boot, true
	if b.lazy {
		s.hashing.atOnce = 0
	}
	if b.layouts != nil {
		s.layouts = b.layouts
	}
	if err := s.prepare(); err != nil {
		return errors.Join(err, root.Close())
	}
	s.exchange = s.exchange && b.exchange
	if err := s.recoverAll(); err != nil {
		s.lock.release()
		return errors.Join(err, root.Close())
	}
	s.startKeeper()
	return nil
}

// unlinked is a file system without hard links.
type unlinked struct{ disk.Disk }

func (unlinked) Link(op disk.Op, from, to string) error {
	return fmt.Errorf("link %s: %w", from, unix.EPERM)
}

func withoutLinks(d disk.Disk) disk.Disk { return unlinked{d} }

func (b *bench) openDisk() (disk.Disk, error) {
	if b.memory != nil {
		return b.memory, nil
	}
	return disk.OpenRoot(b.dir)
}

// stop closes the store without waiting for anything to be committed.
func (b *bench) stop() {
	b.t.Helper()
	if b.Store == nil {
		return
	}
	if err := b.Store.Close(); err != nil {
		b.t.Errorf("close the store: %v", err)
	}
	b.Store = nil
}

// crash ends the daemon: from here on it changes nothing on the disk.
func (b *bench) crash() {
	b.t.Helper()
	b.disk.crash()
	b.stop()
}

// configure mounts anew with another configuration.
func (b *bench) configure(change func(*policy.Config)) {
	b.t.Helper()
	b.stop()
	change(&b.cfg)
	b.start()
}

// restart is a crash and a new mount.
func (b *bench) restart() {
	b.t.Helper()
	b.crash()
	b.start()
}

// process starts a process.
func (b *bench) process() *process {
	b.procs.mu.Lock()
	defer b.procs.mu.Unlock()
	tgid := uint32(100 + len(b.procs.ends))
	b.procs.ends[tgid] = proc.End{Fate: proc.Alive, Tgid: tgid}
	return &process{b: b, tgid: tgid, open: map[*handle]bool{}}
}

// pass lets time go by, and whatever falls due in it come to an end.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settle lets saves that are complete be committed.
func (b *bench) settle() { b.pass(b.cfg.Save.Settle + 2*recheck) }

// must fails the test on an error.
func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// seed saves checkpoints and has them committed.
func (b *bench) seed(saves map[string]content) {
	b.t.Helper()
	p := b.process()
	for name, c := range saves {
		b.must(p.save(name, c))
	}
	b.settle()
	p.exit(0)
	for name, c := range saves {
		if got, err := b.committed(name); err != nil || got != c.token {
			b.t.Fatalf("seed %s: committed is %q, %v", name, got, err)
		}
	}
}

// version finds what a view shows: "resume", "by-epoch/3", "sub/latest".
func (b *bench) version(view string) *Version {
	for dir, rest := "", view; ; {
		name, more, deeper := strings.Cut(rest, "/")
		if target, ok := b.View(dir, name); ok {
			if target.Version != nil {
				return target.Version
			}
			return b.Numbered(dir, target.Index, more)
		}
		if !deeper {
			return nil
		}
		dir, rest = path.Join(dir, name), more
	}
}

// errNoView says that a view resolves to nothing.
var errNoView = errors.New("the view resolves to nothing")

// view loads what a view shows and returns its token.
func (b *bench) view(view string) (string, error) {
	v := b.version(view)
	if v == nil {
		return "", errNoView
	}
	return b.loadVersion(v)
}

func (b *bench) loadVersion(v *Version) (string, error) {
	names := checkpointFiles
	if v.Entry != "" {
		names = spreadFiles(v.Name)
	}
	return loadFiles(names, func(name string) ([]byte, error) {
		f, err := b.VersionOpen(v, name, unix.O_RDONLY)
		if err != nil {
			return nil, err
		}
		defer f.Release()
		return io.ReadAll(f)
	})
}

// committed loads the committed version of a name.
func (b *bench) committed(name string) (string, error) {
	rec := b.named(name)
	if rec == nil {
		return "", errNoView
	}
	rec.mu.RLock()
	v := rec.committed
	rec.mu.RUnlock()
	if v == nil {
		return "", errNoView
	}
	return b.loadVersion(v)
}

// shows fails the test unless each view shows the content with that token; ""
// stands for a view that resolves to nothing.
func (b *bench) shows(when string, want map[string]string) {
	b.t.Helper()
	for view, token := range want {
		got, err := b.view(view)
		if errors.Is(err, errNoView) {
			got, err = "", nil
		}
		if err != nil {
			b.t.Errorf("%s: %s: %v", when, view, err)
		} else if got != token {
			b.t.Errorf("%s: %s shows %q, want %q", when, view, got, token)
		}
	}
}

// checkViews is P1: whatever a view shows is one whole checkpoint.
func (b *bench) checkViews() error {
	var errs []error
	for _, r := range b.runsSorted() {
		for name, v := range b.leadTo(r) {
			if _, err := b.loadVersion(v); err != nil {
				errs = append(errs, fmt.Errorf("view %s: %w", path.Join(r.path, name), err))
			}
		}
		errs = append(errs, b.checkStanding(r))
	}
	return errors.Join(errs...)
}

// checkPlain is P4: under natural names the directory holds whole checkpoints
// and nothing else. What a trainer is still writing under a temporary name is no
// checkpoint yet.
func checkPlain(dir string) error {
	var errs []error
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case spreadFiles(d.Name()) != nil && p != dir:
			if _, err := loadFiles([]string{d.Name()}, func(string) ([]byte, error) { return os.ReadFile(p) }); err != nil {
				errs = append(errs, fmt.Errorf("in the backing directory: %w", err))
			}
			return nil
		case !d.IsDir() || p == dir:
			return nil
		case d.Name() == Private || strings.HasPrefix(d.Name(), ".tmp_"):
			return filepath.SkipDir
		case strings.Contains(d.Name(), "checkpoint") || d.Name() == "best_model":
			root, err := os.OpenRoot(p) // once: a commit may replace it meanwhile
			if errors.Is(err, os.ErrNotExist) {
				return filepath.SkipDir // between the two renames of a swap
			}
			if err != nil {
				return err
			}
			defer root.Close()
			if _, err := loadWhole(root.ReadFile); err != nil {
				errs = append(errs, fmt.Errorf("in the backing directory: %s: %w", d.Name(), err))
			}
			return filepath.SkipDir
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// check is P1 and P4, and that listings tell what look-ups do.
func (b *bench) check(when string) {
	b.t.Helper()
	if err := errors.Join(b.checkViews(), checkPlain(b.dir), b.checkListings()); err != nil {
		b.t.Errorf("%s: %v", when, err)
	}
}

// left lists what a private directory holds.
func (b *bench) left(dir string) []string {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, dir))
	b.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// happened lists the events of one kind, as "path: reason".
func (b *bench) happened(what string) []string {
	var out []string
	for _, e := range b.Events() {
		if e.What == what {
			out = append(out, e.Path+": "+e.Reason)
		}
	}
	return out
}

// notes is a Notifier that writes down what the kernel is told.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	n.list = append(n.list, s)
	n.mu.Unlock()
}

// Entry implements Notifier.
func (n *notes) Entry(dir, name string) { n.add("entry " + path.Join(dir, name)) }

// File implements Notifier.
func (n *notes) File(p string) { n.add("file " + p) }

// Attributes implements Notifier.
func (n *notes) Attributes(dir, name string) { n.add("attributes " + path.Join(dir, name)) }

// Dir implements Notifier.
func (n *notes) Dir(p string) { n.add("dir " + p) }

// Names implements Notifier.
func (n *notes) Names(p string) { n.add("names " + p) }

// Version implements Notifier.
func (n *notes) Version(v *Version) { n.add("version " + v.ID) }

func TestCommitAfterSettling(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.save("last_checkpoint", content{"one", 1, 0}))
		b.shows("saved", map[string]string{"resume": ""})
		b.settle()
		b.shows("settled", map[string]string{"resume": "one", "latest": "one", "by-epoch/1": "one", "by-step/10": "one"})
		b.check("settled")
		if left := b.left(stagingDir); len(left) > 0 {
			t.Errorf("left in staging: %v", left)
		}
		b.restart()
		b.shows("restarted", map[string]string{"resume": "one", "by-epoch/1": "one"})
	})
}

// tokens says what every view of the root run shows, and every natural name.
func (b *bench) tokens() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	add := func(name string, token string, err error) {
		if err != nil {
			token = err.Error()
		}
		out[name] = token
	}
	r := b.runAt("")
	for _, view := range []string{"latest", "resume", "best"} {
		token, err := b.view(view)
		add(view, token, err)
	}
	for _, index := range []Index{ByEpoch, ByStep} {
		for _, n := range b.Numbers("", index) {
			view := fmt.Sprintf("%s/%d", index, n)
			token, err := b.view(view)
			add(view, token, err)
		}
	}
	for _, rec := range b.recordsOf(r) {
		if token, err := b.committed(rec.name); !errors.Is(err, errNoView) {
			add(rec.name, token, err)
		}
	}
	return out
}

func (b *bench) sameTokens(when string, want map[string]string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.tokens()); diff != "" {
		b.t.Errorf("%s (-before +after):\n%s", when, diff)
	}
}
