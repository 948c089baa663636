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
//
// The data of users does not pass through here: the kernel moves it to and from
// the descriptor of an open file.
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
// What survives a power cut:
//
//   - the content of a file, its size, mode and times, as they were at the last
//     Sync or Fsync of the file; of what came later any part, or none;
//   - the names in a directory, made, renamed or removed, as they were at the
//     last Sync of the directory; of later changes any, but those of one
//     directory in their order. A rename survives as a whole or not at all, and
//     Sync of either directory is enough for it;
//   - nothing else. Sync of a file says nothing of its name, Sync of a directory
//     nothing of the content of the files in it.
//
// A Sync that failed has lost data for good: it must never be tried again and
// believed. File systems promise more (ext4 and XFS keep all changes of names in
// their order); nothing here may rest on that.
type Disk interface {
	// Open opens a regular file or a directory; the last component is never
	// followed, and nothing else is opened: it is ENXIO, and never waited for.
	Open(op Op, path string, flags int, mode uint32) (*os.File, error)
	// Stat describes path without following a symbolic link.
	Stat(path string) (Stat, error)
	// ReadDir lists a directory in the order of the backing file system.
	ReadDir(path string) ([]Entry, error)
	// Describe lists a directory with what Stat says of each entry. What goes
	// away meanwhile is left out.
	Describe(path string) ([]Described, error)
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

	// Fstat describes an open file, also after its name is gone.
	Fstat(f *os.File) (Stat, error)
	// Write puts data at an offset of an open file: all of it, or an error.
	Write(op Op, f *os.File, data []byte, off int64) error
	// Truncate sets the size of an open file.
	Truncate(op Op, f *os.File, size int64) error
	Fchmod(op Op, f *os.File, mode uint32) error
	Fchown(op Op, f *os.File, uid, gid int) error
	Fchtimes(op Op, f *os.File, atime, mtime unix.Timespec) error
	// Writable reports whether anybody could still write to an open file, by
	// whatever descriptor or mapping. Where the file system, or the owner of the
	// file, does not let us find out, it says no.
	Writable(f *os.File) bool
	// Alone reports whether nobody else has an open file open, or mapped, by
	// whatever way. Where that cannot be found out, it says no.
	Alone(f *os.File) bool

	// Shared lists the pieces of an open file that the file system keeps for
	// several files (reflinks); none where it does not say.
	Shared(f *os.File) []Extent

	// WriteBack begins to write out what was written to an open file, and is a hint:
	// it may do nothing, and of an error a sync tells.
	WriteBack(f *os.File)
	// Sync is fsync(2) of a file or directory, Fsync that of an open file.
	Sync(op Op, path string) error
	Fsync(op Op, f *os.File) error
	// Fits reports whether a user could write so many bytes into new files of a
	// directory now: unlike Statfs it knows of quotas. nil is as good as unknown.
	Fits(op Op, dir string, size int64, uid, gid uint32) error
	// Syncfs makes everything durable, and space free that was given back: btrfs
	// does so at a commit of its own only.
	Syncfs(op Op) error
	Statfs() (unix.Statfs_t, error)
	// Sub gives read-only access to the tree below path. Files that it opens are
	// *os.File.
	Sub(path string) fs.FS
	// Ours says that below a directory this Disk alone renames and removes
	// directories: those that it works in may stay open.
	Ours(dir string)
	// Close gives back what the Disk itself holds open.
	Close() error
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
	Mounted             bool // another file system, or a part of one, is mounted there
}

// IsDir reports whether it is a directory.
func (s *Stat) IsDir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsRegular reports whether it is a regular file.
func (s *Stat) IsRegular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// IsSymlink reports whether it is a symbolic link.
func (s *Stat) IsSymlink() bool { return s.Mode&unix.S_IFMT == unix.S_IFLNK }

// Extent is a piece of a disk.
type Extent struct{ At, Size uint64 }

// Entry is one name in a directory.
type Entry struct {
	Name string
	Type uint32 // the S_IFMT bits, 0 when the file system does not say
	Ino  uint64 // of what lies there itself, below whatever is mounted on it
}

// Described is one name in a directory, and what lies there.
type Described struct {
	Name string
	Stat
}
