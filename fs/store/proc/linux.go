package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// System is the Table of the machine.
type System struct {
	mu      sync.Mutex
	watches map[uint32]*watch  // by process; alive when they were last asked for
	threads map[uint32]*thread // by number, of processes that are watched
	// Bound is how long a read of /proc/PID/stat may take while the process may be
	// in execve; 0 means 50 ms.
	Bound time.Duration
}

// exitBound is how long it may take when the process is known to be exiting: no
// execve is under way then, and only a machine out of breath needs so long.
const exitBound = 10 * time.Second

const (
	exiting = 0x4      // PF_EXITING
	kthread = 0x200000 // PF_KTHREAD: Linux 6.3 to 6.5 flush from a worker at exit
)

// Process implements Table by /proc/TID/status, which never blocks.
func (s *System) Process(tid uint32) uint32 {
	if tid == 0 {
		return 0
	}
	tgid, _ := s.thread(tid)
	return tgid
}

// status is what /proc/TID/status tells, zero when there is nothing to read.
type status struct {
	tgid uint32
	// exiting: the thread has given up its memory and its table of descriptors. In
	// exit(2) both go before the first descriptor is closed, in execve(2) neither
	// does.
	exiting bool
}

func readStatus(tid uint32) status {
	if tid == 0 {
		return status{}
	}
	b, err := readAll(procFile(tid, "status"))
	if err != nil {
		return status{}
	}
	return parseStatus(b)
}

func parseStatus(b []byte) status {
	field := func(name string) string {
		_, rest, _ := bytes.Cut(b, []byte("\n"+name+":"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		return string(bytes.TrimSpace(line))
	}
	tgid, err := strconv.ParseUint(field("Tgid"), 10, 32)
	if err != nil {
		return status{}
	}
	return status{uint32(tgid), field("FDSize") == "0" && field("VmSize") == ""}
}

// Closing implements Table.
func (s *System) Closing(tid uint32) End {
	if tid == 0 {
		return End{}
	}
	if tgid, running := s.thread(tid); running {
		return End{Tgid: tgid, Fate: Alive}
	}
	now := readStatus(tid)
	end := End{Tgid: now.tgid}
	if end.Tgid == 0 {
		return end
	}
	st, ok, err := s.stat(tid, now.exiting)
	switch {
	case !ok && now.exiting:
		end.Fate = Died // how is not known, so nothing speaks for the file
	case !ok:
		end.Fate = Silent
	case err != nil || st.flags&kthread != 0:
		end.Fate = Unknown
	case st.flags&exiting == 0:
		end.Fate = Alive
	default:
		end.judge(st, tid)
	}
	return end
}

// judge reads the end of an exiting or dead process. The exit status of
// another user's process reads as 0 without the right to trace it.
func (e *End) judge(st stat, tid uint32) {
	e.Status = st.exitCode
	switch {
	case st.exitCode != 0:
		e.Fate = Died
	case os.Geteuid() != 0 && !sameUser(tid):
		e.Fate = Unknown
	default:
		e.Fate = ExitedZero
	}
}

func sameUser(tid uint32) bool {
	var st unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d", tid), &st) == nil && int(st.Uid) == os.Geteuid()
}

type stat struct {
	state    byte
	flags    uint64
	exitCode int
}

// stat reads /proc/TID/stat in a goroutine of its own: in execve the kernel
// holds exec_update_lock while it waits for our FLUSH, and stat waits for that
// lock. ok is false when there was no answer in time; the read then ends by
// itself once the FLUSH is answered.
func (s *System) stat(tid uint32, exiting bool) (st stat, ok bool, err error) {
	bound := s.Bound
	if bound == 0 {
		bound = 50 * time.Millisecond
	}
	if exiting {
		bound = exitBound
	}
	type answer struct {
		st  stat
		err error
	}
	got := make(chan answer, 1)
	go func() {
		b, err := readAll(procFile(tid, "stat"))
		if err != nil {
			got <- answer{err: err}
			return
		}
		st, err := parseStat(string(b))
		got <- answer{st, err}
	}()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case a := <-got:
		return a.st, true, a.err
	case <-timer.C:
		return stat{}, false, nil
	}
}

// parseStat reads fields 3, 9 and 52 of proc_pid_stat(5). The second field, the
// name, may hold anything, also parentheses and spaces.
func parseStat(s string) (stat, error) {
	close := strings.LastIndexByte(s, ')')
	if close < 0 {
		return stat{}, fmt.Errorf("no name in %q", s)
	}
	f := strings.Fields(s[close+1:])
	if len(f) < 50 {
		return stat{}, fmt.Errorf("%d fields after the name, want 50", len(f))
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("flags: %w", err)
	}
	code, err := strconv.Atoi(f[49])
	if err != nil {
		return stat{}, fmt.Errorf("exit code: %w", err)
	}
	return stat{state: f[0][0], flags: flags, exitCode: code}, nil
}
