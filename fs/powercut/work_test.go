package powercut

import (
	"bufio"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ckptfs/fs/store"
	"ckptfs/testdata/saves"
)

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

// awaitPromises returns when every trainer has been promised a save, and what the
// real run left is pruned: before that, there is nothing to lose.
func (m *machine) awaitPromises(first int) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the pace of asking
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

// watch notes what the views show: that is durable, or they must not show it.
func (m *machine) watch(stop chan struct{}) {
	for {
		for _, pattern := range saves.Patterns {
			for _, view := range views {
				token, err := saves.LoadAs(pattern, filepath.Join(m.at, runsDir, pattern, view))
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
