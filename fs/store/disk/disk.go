// Package disk is the one seam between the store and the backing file system.
//
// Every path is slash-separated and relative to the backing directory, which
// is held open by descriptor; "" is the directory itself. A path is resolved
// with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, so neither a symbolic link nor
// ".." nor a directory that is moved meanwhile can lead out of it. That
// matters because the daemon often runs as root.
//
// Calls that change something carry an Op, the step of the protocol that they
// belong to, so that a test can fail exactly one of them.
package disk

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Op labels the step of a protocol that a call belongs to: "commit:swap".
type Op string

// Disk is what the store needs of the backing file system.
//
// What survives a power cut: the content of a file only after Sync of the file;
// a name (created, renamed, removed) only after Sync of the directory that
// holds it. A Sync that failed has lost data for good: it must never be tried
// again and believed.
type Disk interface {
	// Open opens a file or directory; the last component is never followed.
	Open(op Op, path string, flags int, mode uint32) (*os.File, error)
	// Stat describes path without following a symbolic link.
	Stat(path string) (Stat, error)
	// ReadDir lists a directory in the order of the backing file system.
	ReadDir(path string) ([]Entry, error)
	Readlink(path string) (string, error)

	Mkdir(op Op, path string, mode uint32) error
	Mknod(op Op, path string, mode uint32, dev int) error
	Symlink(op Op, target, path string) error
	Link(op Op, from, to string) error
	Unlink(op Op, path string) error
	Rmdir(op Op, path string) error
	// Rename is renameat2(2); flags are unix.RENAME_*.
	Rename(op Op, from, to string, flags uint) error
	// Copy makes a new file with the content, mode, owner, times and extended
	// attributes of another: a reflink where the file system can, else bytes.
	Copy(op Op, from, to string) error

	Chmod(op Op, path string, mode uint32) error
	Chown(op Op, path string, uid, gid int) error
	Chtimes(op Op, path string, atime, mtime unix.Timespec) error
	Getxattr(path, name string, dest []byte) (int, error)
	Listxattr(path string, dest []byte) (int, error)
	Setxattr(op Op, path, name string, data []byte, flags int) error
	Removexattr(op Op, path, name string) error

	// Sync is fsync(2) of a file or directory.
	Sync(op Op, path string) error
	Statfs() (unix.Statfs_t, error)
	// Sub gives read-only access to the tree below path.
	Sub(path string) fs.FS
}

// Stat is what statx(2) says; BirthNS is 0 where the file system keeps none.
type Stat struct {
	Mode                uint32 // type and permissions, as in st_mode
	Nlink               uint32
	UID, GID            uint32
	Rdev                uint64
	Dev, Ino            uint64
	Size                int64
	Blocks              uint64 // of 512 bytes
	Blksize             uint32
	Atime, Mtime, Ctime unix.Timespec
	BirthNS             int64
}

// IsDir reports whether it is a directory.
func (s *Stat) IsDir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsRegular reports whether it is a regular file.
func (s *Stat) IsRegular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// IsSymlink reports whether it is a symbolic link.
func (s *Stat) IsSymlink() bool { return s.Mode&unix.S_IFMT == unix.S_IFLNK }

// Entry is one name in a directory.
type Entry struct {
	Name string
	Type uint32 // the S_IFMT bits, 0 when the file system does not say
	Ino  uint64
}
