package powercut

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
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
var controlPatterns = []string{saves.TmpRename, saves.Overwrite}

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
		m.must(saves.CopyRun(run))
		if saves.HasGap(pattern) {
			m.must(removeOthers(run, saves.Target(pattern, "")))
		}
	}
	for _, pattern := range controlPatterns {
		m.must(saves.CopyRun(filepath.Join(m.at, controlDir, pattern)))
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
			if verb == "synced" || m.durability == atClose && pattern != saves.TmpRename && pattern != saves.RenameAside {
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

// awaitPromises returns when every trainer has been promised a save, and what the
// real run left is pruned: before that, there is nothing to lose.
func (m *machine) awaitPromises(first int) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		made, waiting := m.ledger.made(math.MaxInt64), 0
		for _, pattern := range saves.Patterns {
			if made[pattern] < first {
				waiting++
			}
		}
		for _, pattern := range controlPatterns {
			if made[filepath.Join(controlDir, pattern)] < first {
				waiting++
			}
		}
		if waiting == 0 {
			m.count(-1)
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("%d trainers get no save through\n%s", waiting, m.tail())
		}
	}
}

// startDaemon mounts ckptfs over the runs.
func (m *machine) startDaemon() {
	m.t.Helper()
	m.daemon = child("daemon", filepath.Join(m.at, runsDir), m.log, m.durability)
	out, err := m.daemon.StdoutPipe()
	m.must(err)
	m.must(m.daemon.Start())
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		m.daemon.Wait()
		m.t.Fatalf("ckptfs does not mount: %s %v\n%s", line, err, m.tail())
	}
}

// stopDaemon unmounts ckptfs in the orderly way.
func (m *machine) stopDaemon() {
	m.t.Helper()
	m.must(unmount(filepath.Join(m.at, runsDir)))
	if err := m.daemon.Wait(); err != nil {
		m.t.Errorf("ckptfs ended with %v\n%s", err, m.tail())
	}
	m.daemon = nil
}

// spawn starts a process; said is called with each line like "saved 12".
func (m *machine) spawn(cmd *exec.Cmd, said func(verb string, n int)) {
	m.t.Helper()
	out, err := cmd.StdoutPipe()
	m.must(err)
	m.must(cmd.Start())
	m.others = append(m.others, cmd)
	m.ended.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			verb, rest, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(rest)
			if err != nil {
				m.t.Errorf("%s\n%s", lines.Text(), m.tail())
				return
			}
			m.mu.Lock()
			m.newest = max(m.newest, n+stride) // it has begun the next
			m.mu.Unlock()
			said(verb, n)
		}
	})
}

// watch notes what the views show: that is durable, or they must not show it.
func (m *machine) watch(stop chan struct{}) {
	for {
		for _, pattern := range saves.Patterns {
			for _, view := range views {
				token, err := saves.Load(filepath.Join(m.at, runsDir, pattern, view))
				switch {
				case errors.Is(err, os.ErrNotExist):
				case err != nil:
					m.t.Errorf("while trainers save: %s/%s: %v", pattern, view, err)
				default:
					m.ledger.note(pattern, number(token))
				}
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond): // the pace of looking
		}
	}
}

// views are those that have to show the newest save of a trainer.
var views = []string{"resume", "latest"}

// number is the save that a token belongs to; 0 for the original run.
func number(token string) int {
	if token == "" {
		return 0
	}
	n, err := strconv.Atoi(token)
	if err != nil {
		panic(err)
	}
	return n
}

// halt ends the work in an orderly way, and unmounts the disk.
func (m *machine) halt() {
	m.t.Helper()
	m.killOthers()
	m.count(+1)
	m.stopDaemon()
	m.must(unmount(m.at))
}

// count adds what ckptfs has done since it was mounted to the figures, or takes
// it from them.
func (m *machine) count(sign int64) {
	m.t.Helper()
	status := m.status()
	m.commits += sign * status.Commits
	m.pruned += sign * status.Pruned
}

// status is what ckptfs says of itself.
func (m *machine) status() (status store.StatusReport) {
	b, err := os.ReadFile(filepath.Join(m.at, runsDir, store.Private, "status.json"))
	if err == nil {
		err = json.Unmarshal(b, &status)
	}
	if err != nil {
		m.t.Errorf("the status: %v", err)
	}
	return status
}

func (m *machine) killOthers() {
	close(m.stop)
	m.stop = nil
	for _, cmd := range m.others {
		cmd.Process.Kill()
		cmd.Wait()
	}
	m.others = nil
	m.ended.Wait()
}

// unmount waits for whoever is still about to leave.
func unmount(at string) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
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
