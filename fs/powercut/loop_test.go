package powercut

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A loop is a file as a block device. The kernel detaches it when nobody has it
// open or mounted any more, whatever became of the process that attached it.
type loop struct{ device *os.File }

// sector is the block size of every device. XFS refuses a disk whose sectors
// have grown, and those of a loop device follow what lies below it.
const sector = 4096

// attach makes a block device of a file. A direct one bypasses the page cache of
// the file: then what the device has accepted is in the file.
func attach(file string, direct bool) (*loop, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(f.Fd()), Size: sector}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if direct {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := openLoop(n)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			err = flushes(device.Name())
		}
		if err == nil {
			return &loop{device}, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // else somebody else was faster
			return nil, fmt.Errorf("attach %s to %s: %w", file, device.Name(), err)
		}
	}
}

// flushes makes sure that flushes reach the file. The setting survives whoever had
// the device before, and without flushes nothing that is tested here holds.
func flushes(device string) error {
	queue := filepath.Join("/sys/block", filepath.Base(device), "queue/write_cache")
	setting, err := os.ReadFile(queue)
	if err == nil && string(setting) != "write back\n" {
		err = os.WriteFile(queue, []byte("write back"), 0)
	}
	if err != nil {
		return fmt.Errorf("have %s flushed: %w", device, err)
	}
	return nil
}

// openLoop opens a loop device; a container may have to make its node first.
func openLoop(n int) (*os.File, error) {
	name := fmt.Sprintf("/dev/loop%d", n)
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		const major = 7
		if err := unix.Mknod(name, unix.S_IFBLK|0o660, int(unix.Mkdev(major, uint32(n)))); err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}

func (l *loop) path() string { return l.device.Name() }

// close lets go of the device; it is detached when it is not mounted either.
func (l *loop) close() error { return l.device.Close() }
