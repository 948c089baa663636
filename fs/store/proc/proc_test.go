package proc

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestParseStat(t *testing.T) {
	tail := " R 1 2 3 0 -1 4194308 0 0 0 0 0 0 0 0 20 0 1 0 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 256"
	for _, name := range []string{"python3", "a b", "x) R (y", "((", ""} {
		st, err := parseStat("42 (" + name + ")" + tail)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if st.state != 'R' || st.flags&exiting == 0 || st.exitCode != 256 {
			t.Errorf("%q: %+v", name, st)
		}
	}
	for _, bad := range []string{"", "42", "42 (x) R 1 2"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q parsed", bad)
		}
	}
}

func TestProcess(t *testing.T) {
	var s System
	if got := s.Process(uint32(syscall.Gettid())); got != uint32(os.Getpid()) {
		t.Errorf("process of this thread is %d, want %d", got, os.Getpid())
	}
	if got := s.Process(0); got != 0 {
		t.Errorf("process of thread 0 is %d", got)
	}
	if end := s.Closing(uint32(os.Getpid())); end.Fate != Alive {
		t.Errorf("this process is %v", end)
	}
}

// A pidfd tells the end of a process before and after it was waited for.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         Fate
		status       int
	}{
		{"exit 0", "read x; exit 0", ExitedZero, 0},
		{"exit 3", "read x; exit 3", Died, 3 << 8},
		{"killed", "read x; kill -9 $$", Died, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", c.script)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w := new(System).Watch(uint32(cmd.Process.Pid))
			defer w.Close()
			if end := w.End(); end.Fate != Alive {
				t.Errorf("while it runs: %v", end)
			}
			stdin.Close()
			cmd.Wait()
			end := w.End()
			if end.Fate == Unknown {
				t.Skip("this kernel does not tell the exit status after the fact (Linux 6.15 does)")
			}
			if end.Fate != c.want || end.Status != c.status {
				t.Errorf("after it ended: %v, status %#x; want %v, %#x", end, end.Status, c.want, c.status)
			}
		})
	}
}

// A process that exits is never taken for one in execve, however long
// /proc/PID/stat may take to answer.
func TestParseStatus(t *testing.T) {
	const running = "Name:\tpython3\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t4711\nPid:\t4712\nFDSize:\t64\nGroups:\t \nVmPeak:\t    9000 kB\nVmSize:\t    8000 kB\nThreads:\t2\n"
	const dying = "Name:\tpython3\nState:\tR (running)\nTgid:\t4711\nPid:\t4712\nFDSize:\t0\nGroups:\t \nThreads:\t1\n"
	const kernel = "Name:\tkworker/0:1\nState:\tI (idle)\nTgid:\t12\nPid:\t12\nFDSize:\t64\nThreads:\t1\n"
	for _, c := range []struct {
		name, content string
		want          status
	}{
		{"running, or in execve", running, status{4711, false}},
		{"exiting", dying, status{4711, true}},
		{"a kernel thread", kernel, status{12, false}},
		{"nothing", "", status{}},
		{"no process", "Name:\tx\nTgid:\tmany\nFDSize:\t0\n", status{}},
	} {
		if got := parseStatus([]byte(c.content)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if st := readStatus(uint32(os.Getpid())); st.exiting || st.tgid == 0 {
		t.Errorf("this process is %+v", st)
	}
}
