package powercut

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// filesystem is one kind of disk below ckptfs.
type filesystem struct {
	name    string
	kind    string
	options string // of the mount
	mkfs    []string
	fsck    []string // reads only
	pkg     string   // that has both
	broken  bool     // its options give safety away: promises are broken there

	needsSectors bool // it relies on a sector being written whole or not at all
}

var (
	ext4 = filesystem{
		name: "ext4", kind: "ext4", pkg: "e2fsprogs",
		mkfs: []string{"mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"},
		fsck: []string{"e2fsck", "-f", "-n"},
	}
	xfs = filesystem{
		name: "xfs", kind: "xfs", options: "nouuid", pkg: "xfsprogs",
		mkfs: []string{"mkfs.xfs", "-q", "-K", "-m", "reflink=1"},
		fsck: []string{"xfs_repair", "-n"},
	}
	// A transaction a second: else a short run sees no other than those of fsync. Its
	// superblock is one sector of the disk, and a mount takes no other copy when
	// that is torn.
	btrfs = filesystem{
		name: "btrfs", kind: "btrfs", options: "commit=1", pkg: "btrfs-progs", needsSectors: true,
		mkfs: []string{"mkfs.btrfs", "-q", "-K"},
		fsck: []string{"btrfs", "check", "--readonly"},
	}
)

// with is the same file system, mounted with further options.
func (f filesystem) with(options string) filesystem {
	f.name += " " + options
	f.options = strings.Trim(f.options+","+options, ",")
	return f
}

// unsafe is one that sends no flushes: on a disk with a write cache it protects
// nothing.
var unsafe = func() filesystem {
	f := ext4.with("barrier=0")
	f.broken = true
	return f
}()

// missing says why the file system cannot be made here.
func (f filesystem) missing() string {
	for _, tool := range []string{f.mkfs[0], f.fsck[0]} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("%s is missing: install %s", tool, f.pkg)
		}
	}
	_ = run([]string{"modprobe", f.kind}) // built in, or loaded from outside a container
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || !strings.Contains(string(known), "\t"+f.kind+"\n") {
		return fmt.Sprintf("the kernel has no %s: load the module", f.kind)
	}
	return ""
}

func (f filesystem) make(device string) error { return run(append(f.mkfs, device)) }

func (f filesystem) mount(device, at string) error {
	if err := unix.Mount(device, at, f.kind, unix.MS_NOATIME, f.options); err != nil {
		return fmt.Errorf("mount %s, %s: %w", device, f.name, err)
	}
	return nil
}

// check runs fsck over a disk that is not mounted and whose journal is replayed.
func (f filesystem) check(device string) error { return run(append(f.fsck, device)) }

// forget makes the kernel forget a disk that was mounted. btrfs remembers the
// newest state that it has seen of a file system, and would take a snapshot
// from before for a stale mirror.
func (f filesystem) forget() {
	if f.kind == "btrfs" {
		_ = run([]string{"btrfs", "device", "scan", "--forget"}) // fails where there is nothing to forget
	}
}

func run(command []string) error {
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}
