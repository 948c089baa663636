package proc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch implements Table by a pidfd. All who watch a process share one: a trainer
// has hundreds of files.
func (s *System) Watch(tgid uint32) Watch {
	if tgid == 0 {
		return &watch{system: s, fd: -1, holders: 1}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.watches[tgid]; w != nil {
		if w.alive() { // so the number is still its own
			w.holders++
			return w
		}
		s.unwatch(w) // those who hold it go on holding it
	}
	w := &watch{system: s, tgid: tgid, fd: -1, holders: 1}
	if fd, err := unix.PidfdOpen(int(tgid), 0); err == nil {
		w.fd = fd
		if s.watches == nil {
			s.watches, s.threads = map[uint32]*watch{}, map[uint32]*thread{}
		}
		s.watches[tgid] = w
	}
	return w
}

// unwatch takes a watch off the list, and forgets the threads that were remembered
// because of it. Needs mu.
func (s *System) unwatch(w *watch) {
	if s.watches[w.tgid] != w {
		return
	}
	delete(s.watches, w.tgid)
	s.forget(func(th *thread) bool { return th.tgid == w.tgid })
}

type watch struct {
	system  *System
	tgid    uint32
	fd      int // -1 when nothing is known of the process
	holders int // guarded by System.mu
}

// alive reports whether the process has not ended. The runtime interrupts its
// threads by a signal, which is no answer.
func (w *watch) alive() bool {
	poll := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(poll, 0); err != unix.EINTR {
			return err == nil && n == 0
		}
	}
}

// pidfdInfo is struct pidfd_info of linux/pidfd.h in its first size.
type pidfdInfo struct {
	mask, cgroup             uint64
	pid, tgid, ppid          uint32
	ruid, rgid, euid, egid   uint32
	suid, sgid, fsuid, fsgid uint32
	exitCode                 int32
}

const (
	pidfdGetInfo  = 0xC0<<24 | 64<<16 | 0xFF<<8 | 11 // _IOWR(0xFF, 11, 64 bytes), Linux 6.13
	pidfdInfoExit = 1 << 3                           // Linux 6.15
)

// End implements Watch.
func (w *watch) End() End {
	end := End{Tgid: w.tgid}
	if w.fd < 0 {
		return end
	}
	if w.alive() {
		end.Fate = Alive
		return end
	}
	info := pidfdInfo{mask: pidfdInfoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if errno == 0 && info.mask&pidfdInfoExit != 0 {
		end.Status = int(info.exitCode)
		if end.Status == 0 {
			end.Fate = ExitedZero
		} else {
			end.Fate = Died
		}
		return end
	}
	// Not reaped yet, or an older kernel: a zombie still has its line in /proc.
	if st, ok, err := w.system.stat(w.tgid, true); ok && err == nil && (st.state == 'Z' || st.state == 'X') {
		end.judge(st, w.tgid)
	}
	return end
}

// Close implements Watch. Each hold is given back once.
func (w *watch) Close() {
	w.system.mu.Lock()
	defer w.system.mu.Unlock()
	if w.holders--; w.holders > 0 || w.fd < 0 {
		return
	}
	w.system.unwatch(w)
	unix.Close(w.fd)
	w.fd = -1
}
