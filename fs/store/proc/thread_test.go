package proc

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A number that another thread has by now is not the old one's.
func TestNumberIsUsedAgain(t *testing.T) {
	var s System
	gone := exec.Command("cat")
	stdin, err := gone.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	old := uint32(gone.Process.Pid)
	w := s.Watch(old)
	defer w.Close()
	if got := s.Process(old); got != old || s.threads[old] == nil {
		t.Fatalf("process of %d is %d, and remembered: %v", old, got, s.threads[old] != nil)
	}
	if end := s.Closing(old); end.Fate != Alive {
		t.Errorf("it is %v while it runs", end)
	}
	stdin.Close()
	gone.Wait()
	if got := s.Process(old); got != 0 {
		t.Errorf("process of a thread that is no more is %d", got)
	}

	// As if this thread had got the number since.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := uint32(syscall.Gettid())
	dead := deadFile(t)
	conn, err := dead.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s.threads[me] = &thread{tgid: old, statm: dead, conn: conn}
	if got := s.Process(me); got != uint32(os.Getpid()) {
		t.Errorf("process of this thread is %d, want %d", got, os.Getpid())
	}
	pid := uint32(os.Getpid())
	s.watches[pid] = w.(*watch)
	fresh := s.Watch(pid)
	defer fresh.Close()
	if end := fresh.End(); fresh == w || end.Fate != Alive || end.Tgid != pid {
		t.Errorf("this process is taken for one that has ended: %v", end)
	}
}

// deadFile is /proc/PID/statm of a process that has ended.
func deadFile(t *testing.T) *os.File {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(procFile(uint32(cmd.Process.Pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	cmd.Wait()
	return f
}

// Who has no program at the moment, as in exit(2) and execve(2), is not taken for
// one that closes by itself.
func TestHasText(t *testing.T) {
	for statm, want := range map[string]bool{
		"2263 512 480 3 0 120 0\n":   true,
		"2263 512 480 100 0 120 0\n": true,
		"33 1 0 0 0 33 0\n":          false, // in execve: a stack and nothing else
		"0 0 0 0 0 0 0\n":            false, // exiting, or a kernel thread
		"33 1 0 0 5 33 0\n":          false,
		"2263 512 480":               false,
		"":                           false,
	} {
		if got := hasText([]byte(statm)); got != want {
			t.Errorf("%q: %v, want %v", statm, got, want)
		}
	}
}

// The threads that are known, and what is held of them, are few.
func TestThreadsAreBounded(t *testing.T) {
	var s System
	w := s.Watch(uint32(os.Getpid()))
	before := len(descriptors(t))
	stop := make(chan struct{})
	tids := make(chan uint32)
	const n = mostThreads + 10
	for range n {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tids <- uint32(unix.Gettid())
			<-stop
		}()
	}
	defer close(stop)
	for range n {
		tid := <-tids
		if got := s.Process(tid); got != uint32(os.Getpid()) {
			t.Fatalf("process of thread %d is %d", tid, got)
		}
	}
	if got := len(descriptors(t)) - before; got != len(s.threads) || got == 0 || got > mostThreads {
		t.Errorf("%d descriptors of %d threads are held, at most %d are to be", got, len(s.threads), mostThreads)
	}
	// With the last who watches the process they go.
	w.Close()
	if got := before - len(descriptors(t)); got != 1 || len(s.threads) != 0 {
		t.Errorf("%d threads are remembered, and %d descriptors were given back, of a process that nobody watches", len(s.threads), got)
	}
	if s.Process(uint32(syscall.Gettid())); len(s.threads) != 0 {
		t.Error("a thread is remembered of a process that nobody watches")
	}
}

func descriptors(t *testing.T) []os.DirEntry {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// All who watch one process share a hold on it, and the last gives it back.
func TestWatchIsShared(t *testing.T) {
	var s System
	pid := uint32(os.Getpid())
	a, b := s.Watch(pid), s.Watch(pid)
	if a != b {
		t.Error("two holds on one process")
	}
	a.Close()
	if end := b.End(); end.Fate != Alive {
		t.Errorf("after one of two was given back: %v", end)
	}
	b.Close()
	if len(s.watches) != 0 {
		t.Error("a hold is left")
	}
}

// A signal to the thread that asks does not make a process look dead: the runtime
// sends them all the time.
func TestAliveUnderSignals(t *testing.T) {
	var s System
	w := s.Watch(uint32(os.Getpid()))
	defer w.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid, done := unix.Gettid(), make(chan struct{})
	go func() {
		defer close(done)
		for range 20_000 {
			unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
		}
	}()
	for asked := 0; ; asked++ {
		if end := w.End(); end.Fate != Alive {
			t.Fatalf("this process is %[2]v, when asked %[1]d times", asked, end)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
