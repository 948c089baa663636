package proc

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A trainer closes hundreds of files from one thread, and each time it is asked
// which process that is and whether it runs. So /proc/TID/statm stays open for the
// threads of a process that is watched. What is read there is of that thread for
// ever: once it is gone there is nothing to read, whoever has its number by then.
//
// statm says more, and never blocks. Its fourth field is the size of the program's
// text, which is 0 without a program: in exit(2) the memory goes before the first
// descriptor is closed, and in execve(2) those that are to be closed go while the
// memory is new and nothing is loaded. So a thread with text closes by itself.
type thread struct {
	tgid  uint32
	statm *os.File
	conn  syscall.RawConn // to statm, which may be closed meanwhile
}

// mostThreads is how many threads are remembered; with one more all are forgotten.
const mostThreads = 128

// thread finds out which process a thread is of, 0 when it cannot be known, and
// whether it runs a program; false says nothing.
func (s *System) thread(tid uint32) (tgid uint32, running bool) {
	s.mu.Lock()
	th := s.threads[tid]
	s.mu.Unlock()
	if th != nil {
		if there, running := th.look(); there {
			return th.tgid, running
		}
		s.mu.Lock()
		s.forget(func(other *thread) bool { return other == th }) // and maybe another has its number
		s.mu.Unlock()
	}
	if th = learn(tid); th == nil {
		return 0, false
	}
	// Who was there before it was read who it is, and is after, has been meanwhile.
	there, running := th.look()
	if !there {
		th.statm.Close()
		return 0, false
	}
	s.remember(tid, th)
	return th.tgid, running
}

// remember keeps a thread until nobody watches its process any more.
func (s *System) remember(tid uint32, th *thread) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches[th.tgid] == nil || s.threads[tid] != nil {
		th.statm.Close()
		return
	}
	if len(s.threads) >= mostThreads {
		s.forget(func(*thread) bool { return true })
	}
	s.threads[tid] = th
}

// forget closes what tells of some threads. Needs mu.
func (s *System) forget(which func(*thread) bool) {
	for tid, th := range s.threads {
		if which(th) {
			delete(s.threads, tid)
			th.statm.Close()
		}
	}
}

// learn opens what tells of a thread, and asks which process it is of.
func learn(tid uint32) *thread {
	fd, err := unix.Open(procFile(tid, "statm"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	th := &thread{tgid: readStatus(tid).tgid, statm: os.NewFile(uintptr(fd), "statm")}
	if th.conn, err = th.statm.SyscallConn(); err != nil || th.tgid == 0 {
		th.statm.Close()
		return nil
	}
	return th
}

// look reads whether the thread is there, and whether it runs a program.
func (th *thread) look() (there, running bool) {
	var b [128]byte // it is shorter, so one read is all
	var n int
	err := th.conn.Control(func(fd uintptr) {
		for err := error(unix.EINTR); err == unix.EINTR; {
			n, err = unix.Pread(int(fd), b[:], 0)
		}
	})
	if err != nil || n <= 0 {
		return false, false
	}
	return true, hasText(b[:n])
}

// hasText reports whether the fourth number of statm is more than 0.
func hasText(statm []byte) bool {
	field := 1
	for _, c := range statm {
		switch {
		case c == ' ':
			field++
		case field == 4 && c >= '1' && c <= '9':
			return true
		}
	}
	return false
}

func procFile(tid uint32, name string) string {
	return "/proc/" + strconv.FormatUint(uint64(tid), 10) + "/" + name
}

// readAll reads a file of /proc: os.ReadFile would have the runtime wait for it.
func readAll(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 4096)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return b, nil
		default:
			b = b[:len(b)+n]
		}
	}
}
