package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ckptfs/testdata/figures"
)

// rounds is how often each pattern is killed; ROUNDS asks for more.
func rounds(t *testing.T, short int) int {
	if s := os.Getenv("ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("ROUNDS=%s: %v", s, err)
		}
		return n
	}
	return short
}

// trainer is a process that saves for ever.
type trainer struct {
	cmd   *exec.Cmd
	saved atomic.Int64 // the last save that it said was through
	said  chan struct{}
}

func startTrainer(t *testing.T, dir, pattern string, from int) *trainer {
	t.Helper()
	tr := &trainer{cmd: exec.Command(os.Args[0], "patterns", dir, pattern, strconv.Itoa(from)), said: make(chan struct{}, 1)}
	tr.cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE=writer")
	out, err := tr.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, ok := strings.CutPrefix(lines.Text(), "saved "); ok {
				v, _ := strconv.ParseInt(n, 10, 64)
				tr.saved.Store(v)
				select {
				case tr.said <- struct{}{}:
				default:
				}
			}
		}
	}()
	return tr
}

func (tr *trainer) kill() {
	tr.cmd.Process.Kill()
	tr.cmd.Wait()
}

// number is the save that a loaded token belongs to; 0 for the original run.
func number(t *testing.T, token string) int {
	t.Helper()
	if token == "" {
		return 0
	}
	n, err := strconv.Atoi(token)
	if err != nil {
		t.Fatalf("token %q", token)
	}
	return n
}

// resumed loads what resume/ shows; nothing may be torn or mixed (P1).
func resumed(t *testing.T, m *mounted, when string) int {
	t.Helper()
	token, err := load(m.path("resume"))
	if errors.Is(err, os.ErrNotExist) {
		token, err = load(m.path("latest")) // patterns that make no last_checkpoint
	}
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	return number(t, token)
}

// watch loads resume/ over and over until stopped, and returns how often.
func watch(t *testing.T, m *mounted) (stop func() int) {
	done, loads := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { loads <- n }()
		for {
			select {
			case <-done:
				return
			default:
			}
			switch _, err := load(m.path("resume")); {
			case err == nil:
				n++
			case errors.Is(err, os.ErrNotExist), strings.Contains(err.Error(), "not connected"):
			default:
				t.Errorf("while saves go on: resume/: %v", err)
				return
			}
		}
	}()
	return func() int { close(done); return <-loads }
}

// P2, P3: a writer that is killed at any moment publishes nothing, and what was
// committed before stays.
func TestKillWriter(t *testing.T) {
	killed, loads := 0, 0
	for _, pattern := range patterns {
		t.Run(pattern, func(t *testing.T) {
			m := mountOver(t, copyRun(t), "save: {settle: 20ms}\n")
			committed, next := 0, 1
			for i := range rounds(t, 4) {
				stop := watch(t, m)
				tr := startTrainer(t, m.mnt, pattern, next)
				if i%2 == 0 {
					<-tr.said // let one go through
				}
				time.Sleep(rand.N(60 * time.Millisecond)) // the random moment
				tr.kill()
				loads += stop()
				killed++
				now := resumed(t, m, fmt.Sprintf("round %d", i))
				if now < committed && pattern != "rmtree" && pattern != "tmp-rename" {
					t.Fatalf("round %d: save %d was committed, resume/ shows %d", i, committed, now)
				}
				committed = max(now, committed)
				next = max(next, int(tr.saved.Load())) + 2
			}
			m.stop()
			checkPlain(t, m.back)
		})
	}
	figures.Report(t, "writers killed", "%d, %d loads of resume/ meanwhile, 0 torn", killed, loads)
}

// P2: ckptfs killed at any moment loses nothing that was committed.
func TestKillDaemon(t *testing.T) {
	killed := 0
	for _, pattern := range patterns {
		t.Run(pattern, func(t *testing.T) {
			m := mountOver(t, copyRun(t), "save: {settle: 20ms}\n")
			next, seen := 1, 0
			for i := range rounds(t, 4) {
				tr := startTrainer(t, m.mnt, pattern, next)
				if i%2 == 0 {
					<-tr.said
				}
				time.Sleep(rand.N(60 * time.Millisecond)) // the random moment
				if token, err := load(m.path("resume")); err == nil {
					seen = max(seen, number(t, token))
				}
				takeAway := m.kill()
				tr.kill()
				takeAway()
				killed++
				checkPlain(t, m.back)
				m.start()
				now := resumed(t, m, fmt.Sprintf("round %d", i))
				if now < seen && pattern != "rmtree" && pattern != "tmp-rename" {
					t.Fatalf("round %d: save %d was seen in resume/, after the restart it is %d", i, seen, now)
				}
				next = max(next, int(tr.saved.Load())) + 2
			}
			m.stop()
			checkPlain(t, m.back)
		})
	}
	figures.Report(t, "ckptfs killed", "%d times, 0 torn, 0 lost", killed)
}

// checkPlain is P4: under natural names there is nothing but whole checkpoints.
func checkPlain(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if name == ".ckptfs" || strings.HasPrefix(name, ".tmp_") || !e.IsDir() {
			continue
		}
		if _, err := load(filepath.Join(dir, name)); err != nil {
			t.Errorf("in the backing directory: %s: %v", name, err)
		}
	}
}
