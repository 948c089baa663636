package fs

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// kernel is what go-fuse's nodes call back: notifications go out through a
// device of their own, and a backing file that cannot be registered is heard of.
type kernel struct {
	*fuse.Server
	m      *mount
	device *device // nil where it could not be had
}

var _ fusefs.ServerCallbacks = (*kernel)(nil)

// raw is go-fuse's bridge, kept from putting the plain server in our place.
type raw struct {
	fuse.RawFileSystem
	k *kernel
}

// Init is called before the first request.
func (r raw) Init(s *fuse.Server) { r.k.Server = s }

// RegisterBackingFd is called at the first open of a node. When it fails go-fuse
// does without passthrough for the whole mount, and says nothing.
func (k *kernel) RegisterBackingFd(b *fuse.BackingMap) (int32, syscall.Errno) {
	id, errno := k.Server.RegisterBackingFd(b)
	if errno != 0 && k.m.passthrough.CompareAndSwap(true, false) {
		k.m.log.Warn("passthrough is off from here on: the kernel refused a backing file", "err", errno)
	}
	return id, errno
}

// EntryNotify makes the kernel forget a name.
func (k *kernel) EntryNotify(parent uint64, name string) fuse.Status {
	if k.device == nil {
		return k.Server.EntryNotify(parent, name)
	}
	body := binary.NativeEndian.AppendUint64(nil, parent)
	body = binary.NativeEndian.AppendUint32(body, uint32(len(name)))
	body = binary.NativeEndian.AppendUint32(body, 0) // flags
	return k.device.send(notifyInvalEntry, append(append(body, name...), 0))
}

// InodeNotify makes the kernel forget attributes and cached content.
func (k *kernel) InodeNotify(node uint64, off, length int64) fuse.Status {
	if k.device == nil {
		return k.Server.InodeNotify(node, off, length)
	}
	body := binary.NativeEndian.AppendUint64(nil, node)
	body = binary.NativeEndian.AppendUint64(body, uint64(off))
	body = binary.NativeEndian.AppendUint64(body, uint64(length))
	return k.device.send(notifyInvalInode, body)
}

// The codes of enum fuse_notify_code in linux/fuse.h.
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3
)

// device is a second descriptor of the connection to the kernel, held by one
// thread with a descriptor table of its own.
//
// A notification takes a lock of the kernel that a request may hold until it is
// answered. If the daemon is killed at that moment, the request is answered
// when the daemon's descriptor goes, but the thread that waits for the lock
// cannot die, and with a shared table it would keep the descriptor: the writer
// and the daemon would hang for ever (seen on 6.18). This thread holds nothing
// but the clone, so that the other descriptor goes with the other threads.
type device struct {
	messages chan []byte
	answers  chan error
}

// fuseDevIocClone is FUSE_DEV_IOC_CLONE, _IOR(229, 0, uint32).
const fuseDevIocClone = 2<<30 | 4<<16 | 229<<8

// openDevice starts the thread. It ends when close is called.
func openDevice() (*device, error) {
	main, err := fuseDescriptor()
	if err != nil {
		return nil, err
	}
	d := &device{messages: make(chan []byte), answers: make(chan error)}
	go d.serve(main)
	if err := <-d.answers; err != nil {
		return nil, err
	}
	return d, nil
}

func (d *device) serve(main int) {
	// Never unlocked: the thread, with its own table, ends with the goroutine.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		d.answers <- fmt.Errorf("unshare descriptors: %w", err)
		return
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		id := uint32(main)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fuseDevIocClone, uintptr(unsafe.Pointer(&id))); errno != 0 {
			err = errno
		}
	}
	if err == nil && fd > 0 {
		err = unix.CloseRange(0, uint(fd-1), 0)
	}
	if err == nil {
		err = unix.CloseRange(uint(fd+1), ^uint(0)>>32, 0)
	}
	d.answers <- err
	if err != nil {
		return
	}
	defer unix.Close(fd)
	for msg := range d.messages {
		_, err := unix.Write(fd, msg)
		d.answers <- err
	}
}

// send writes one notification; only the notifier's goroutine calls it.
func (d *device) send(code int32, body []byte) fuse.Status {
	msg := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
	msg = binary.NativeEndian.AppendUint32(msg, uint32(code))
	msg = binary.NativeEndian.AppendUint64(msg, 0)
	d.messages <- append(msg, body...)
	return fuse.ToStatus(<-d.answers)
}

func (d *device) close() { close(d.messages) }

// fuseDescriptor finds the descriptor that go-fuse keeps to itself; a process
// serves one mount.
func fuseDescriptor() (int, error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	for _, e := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "/dev/fuse") {
			var fd int
			_, err := fmt.Sscan(e.Name(), &fd)
			return fd, err
		}
	}
	return 0, fmt.Errorf("no descriptor of /dev/fuse is open")
}
