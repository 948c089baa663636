package fs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ckptfs/testdata/saves"
)

// trainer is a group of processes that saves for ever.
type trainer struct {
	cmd     *exec.Cmd
	pattern string
	in      io.Closer
	saved   atomic.Int64  // the last save that it has seen in a view
	said    chan struct{} // there is one
	ended   chan struct{} // its output is at its end

	mu       sync.Mutex
	failures []string
}

func startTrainer(t *testing.T, dir, pattern, kind string, from int) *trainer {
	t.Helper()
	tr := &trainer{
		cmd:     exec.Command(os.Args[0], "train", dir, pattern, kind, strconv.Itoa(from)),
		pattern: pattern, said: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	tr.cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE=writer")
	tr.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := tr.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	tr.in = in
	out, err := tr.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	tr.cmd.Stderr = os.Stderr
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go tr.listen(out)
	return tr
}

func (tr *trainer) listen(out io.Reader) {
	defer close(tr.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, saved := strings.CutPrefix(lines.Text(), "saved ")
		if !saved {
			tr.mu.Lock()
			tr.failures = append(tr.failures, lines.Text())
			tr.mu.Unlock()
			continue
		}
		v, _ := strconv.ParseInt(n, 10, 64)
		tr.saved.Store(v)
		select {
		case tr.said <- struct{}{}:
		default:
		}
	}
}

func (tr *trainer) pgid() int { return tr.cmd.Process.Pid }

// stop returns when nothing of the trainer runs any more. A thread that waits for
// a child which was stopped before its execve stays in its system call.
func (tr *trainer) stop() {
	syscall.Kill(-tr.pgid(), syscall.SIGSTOP)
	for quiet := 0; quiet < 200; time.Sleep(time.Millisecond) { // the pace of asking
		switch states := tr.states(); {
		case strings.ContainsAny(states, "RS"):
			quiet = 0
		case strings.Contains(states, "D"):
			quiet++
		default:
			return
		}
	}
}

// states are the letters of all threads of the group.
func (tr *trainer) states() string {
	var all strings.Builder
	for _, pid := range tr.members() {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)) // the pattern is a good one
		for _, task := range tasks {
			b, _ := os.ReadFile(task) // it may have ended
			_, state, _ := bytes.Cut(b, []byte("\nState:\t"))
			all.Write(state[:min(1, len(state))])
		}
	}
	return all.String()
}

// members are the living processes of the group. /proc/PID/stat would tell it
// too, but waits for a process that is in execve.
func (tr *trainer) members() []int {
	var pids []int
	group := []byte(fmt.Sprintf("\nNSpgid:\t%d\n", tr.pgid()))
	files, _ := filepath.Glob("/proc/[0-9]*/status") // the pattern is a good one
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, group) && !bytes.Contains(b, []byte("\nState:\tZ")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// killOne kills any one process of the trainer.
func (tr *trainer) killOne(k *killing) {
	if pids := tr.members(); len(pids) > 0 {
		syscall.Kill(pids[k.rnd.IntN(len(pids))], syscall.SIGKILL)
		k.writers++
	}
}

// kill kills all of them.
func (tr *trainer) kill(k *killing) {
	k.writers++
	syscall.Kill(-tr.pgid(), syscall.SIGKILL)
	tr.bury(k)
}

// finish lets the save that is under way come to its end.
func (tr *trainer) finish(k *killing) {
	tr.in.Close()
	tr.bury(k)
}

// bury returns when the whole group has ended.
func (tr *trainer) bury(k *killing) {
	<-tr.ended // or the watchdog ends it
	tr.cmd.Wait()
	syscall.Kill(-tr.pgid(), syscall.SIGKILL) // children that have outlived it
	for len(tr.members()) > 0 {
		time.Sleep(time.Millisecond) // the pace of asking
	}
	k.trainers = slices.DeleteFunc(k.trainers, func(o *trainer) bool { return o == tr })
	view := "resume"
	if tr.pattern == saves.InPlaceNew {
		view = "latest"
	}
	view = path.Join(savedIn(tr.pattern), view)
	if !saves.HasGap(tr.pattern) {
		k.shown[view] = max(k.shown[view], int(tr.saved.Load()))
	}
	k.saves += int(tr.saved.Load()) % 1000
	if k.calm.Load() && len(tr.failures) > 0 && !strings.Contains(tr.failures[0], errRank.Error()) {
		k.t.Errorf("a trainer was disturbed although ckptfs was well: %q", tr.failures)
	}
}

func (tr *trainer) complaints() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return strings.Join(tr.failures, "; ")
}

// processes tells what each process of this test waits for, for the report of
// what hangs. ps would wait with them.
func processes() string {
	var out strings.Builder
	files, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/status") // the pattern is a good one
	for _, file := range files {
		b, err := os.ReadFile(file)
		name := filepath.Base(os.Args[0])
		if err != nil || !bytes.HasPrefix(b, []byte("Name:\t"+name[:min(len(name), 15)]+"\n")) {
			continue
		}
		stack, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "stack")) // root only
		if bytes.Contains(b, []byte("\nState:\tD")) {
			fmt.Fprintf(&out, "%s\n%s\n", file, stack)
		}
	}
	return out.String()
}
