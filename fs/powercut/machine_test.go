package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/saves"
)

// A machine has one disk and trainers that save on it: in every pattern below
// ckptfs, and in the patterns of the control on the plain file system.
type machine struct {
	t      *testing.T
	fs     filesystem
	ledger *ledger
	at     string // where the disk is mounted
	log    string // of ckptfs

	durability string // of ckptfs
	commits    int64  // while the power was being cut
	pruned     int64

	boots  int
	device *loop
	daemon *exec.Cmd
	others []*exec.Cmd
	ended  sync.WaitGroup // who reads what the trainers say, and the watcher
	stop   chan struct{}

	mu     sync.Mutex
	newest int // the newest save that any trainer has begun
}

// The directories on the disk.
const (
	runsDir    = "runs" // ckptfs is mounted over it
	controlDir = "control"
	noiseDir   = "noise"
)

// controlPatterns are how trainers without ckptfs save: with a rename, and in
// place. They sync nothing.
var controlPatterns = []string{saves.TmpRename, saves.Overwrite, saves.FileRename, saves.Group}

// diskSize suffices for what the trainers write until it is pruned.
const diskSize = 1 << 30

func newMachine(t *testing.T, fs filesystem) *machine {
	t.Helper()
	if why := fs.missing(); why != "" {
		skip(t, "power cuts on "+fs.name, why)
	}
	m := &machine{t: t, fs: fs, durability: async, at: scratch(t, "disk"), log: filepath.Join(scratch(t, "log"), "ckptfs")}
	m.ledger = &ledger{now: func() int64 { return 0 }}
	m.must(os.RemoveAll(m.log))
	t.Cleanup(m.pullPlug)
	return m
}

// pullPlug takes down what a failed test has left up.
func (m *machine) pullPlug() {
	if m.stop != nil {
		m.killOthers()
	}
	if m.daemon != nil {
		m.daemon.Process.Kill()
		m.daemon.Wait()
	}
	unix.Unmount(filepath.Join(m.at, runsDir), unix.MNT_DETACH)
	unix.Unmount(m.at, unix.MNT_DETACH)
	if m.device != nil {
		m.device.close()
	}
}

// format makes the file system in an image, and the runs as trainers left them.
func (m *machine) format(image string) {
	m.t.Helper()
	m.must(os.WriteFile(image, nil, 0o600))
	m.must(os.Truncate(image, diskSize))
	m.insert(image, true)
	m.must(m.fs.make(m.device.path()))
	m.must(m.fs.mount(m.device.path(), m.at))
	for _, pattern := range saves.Patterns {
		run := filepath.Join(m.at, runsDir, pattern)
		m.must(saves.MakeRun(run, pattern))
		if saves.HasGap(pattern) {
			m.must(removeOthers(run, saves.Target(pattern, "")))
		}
	}
	for _, pattern := range controlPatterns {
		m.must(saves.MakeRun(filepath.Join(m.at, controlDir, pattern), pattern))
	}
	m.must(os.MkdirAll(filepath.Join(m.at, noiseDir), 0o755))
	m.must(unmount(m.at))
	m.eject()
}

// removeOthers leaves a run with one checkpoint. When its trainer deletes that,
// the trash holds the last one that there is, and has to keep it.
func removeOthers(run, name string) error {
	entries, err := os.ReadDir(run)
	for _, e := range entries {
		if e.Name() != name {
			err = errors.Join(err, os.RemoveAll(filepath.Join(run, e.Name())))
		}
	}
	return err
}

// insert attaches the disk.
func (m *machine) insert(file string, direct bool) {
	m.t.Helper()
	device, err := attach(file, direct)
	m.must(err)
	m.device = device
}

// eject detaches it.
func (m *machine) eject() {
	m.t.Helper()
	m.must(m.device.close())
	m.device = nil
	m.fs.forget()
}

// start mounts the disk and lets everybody work.
func (m *machine) start() {
	m.t.Helper()
	m.must(m.fs.mount(m.device.path(), m.at))
	m.stop = make(chan struct{})
	m.startDaemon()
	m.spawn(child("noise", filepath.Join(m.at, noiseDir)), nil)
	first := m.newest + stride - m.newest%stride
	for i, pattern := range saves.Patterns {
		dir, from := filepath.Join(m.at, runsDir, pattern), strconv.Itoa(first+i)
		m.spawn(child("trainer", dir, pattern, from), func(verb string, n int) {
			// Renames do not wait, whatever the durability; an fsync does.
			if verb == "synced" || m.durability == atClose && !saves.ByRename(pattern) {
				m.ledger.note(pattern, n)
			}
		})
	}
	for i, pattern := range controlPatterns {
		run := filepath.Join(controlDir, pattern)
		m.spawn(child("trainer", filepath.Join(m.at, run), pattern, strconv.Itoa(first+i)), func(verb string, n int) {
			if verb == "saved" {
				m.ledger.note(run, n)
			}
		})
	}
	stop := m.stop
	m.ended.Go(func() { m.watch(stop) })
	m.awaitPromises(first)
}

// halt ends the work in an orderly way, and unmounts the disk.
func (m *machine) halt() {
	m.t.Helper()
	m.killOthers()
	m.count(+1)
	m.stopDaemon()
	m.must(unmount(m.at))
}

// unmount waits for whoever is still about to leave.
func unmount(at string) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the pace of asking
		err := unix.Unmount(at, 0)
		if err == nil || !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			if err != nil {
				return fmt.Errorf("unmount %s: %w", at, err)
			}
			return nil
		}
	}
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) tail() string {
	b, _ := os.ReadFile(m.log)
	return string(b[max(0, len(b)-4000):])
}
