package disk

import (
	"encoding/binary"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadDir implements Disk.
func (r *Root) ReadDir(p string) (list []Entry, err error) {
	err = r.inDir(p, func(fd int) error {
		list, err = entries(fd)
		return err
	})
	return list, wrap("", "list", p, err)
}

// Describe implements Disk: the names are looked up in the open directory, which
// costs one call each and no walk.
func (r *Root) Describe(p string) (out []Described, err error) {
	err = r.inDir(p, func(fd int) error {
		list, err := entries(fd)
		out = make([]Described, 0, len(list))
		for _, e := range list {
			st, err := statx(fd, e.Name, unix.AT_SYMLINK_NOFOLLOW)
			if err == unix.ENOENT {
				continue
			}
			if err != nil {
				return wrap("", "stat", path.Join(p, e.Name), err)
			}
			out = append(out, Described{e.Name, st})
		}
		return err
	})
	return out, wrap("", "list", p, err)
}

// DescribeBy is Describe for a Disk that has no better way.
func DescribeBy(d Disk, p string) ([]Described, error) {
	list, err := d.ReadDir(p)
	out := make([]Described, 0, len(list))
	for _, e := range list {
		st, err := d.Stat(path.Join(p, e.Name))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Described{e.Name, st})
	}
	return out, err
}

// inDir calls f with a directory that is open for listing.
func (r *Root) inDir(p string, f func(fd int) error) error {
	fd, err := r.openat(p, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd)
}

// listPiece is how much of a directory one call brings: all of most.
const listPiece = 32 << 10

// entries reads a directory that is open and was not read before.
func entries(fd int) (out []Entry, err error) {
	buf := make([]byte, listPiece)
	for {
		n := 0
		err := again(func() (err error) {
			n, err = unix.Getdents(fd, buf)
			return err
		})
		if err != nil || n == 0 {
			return out, err
		}
		out = parseEntries(out, buf[:n])
	}
}

// parseEntries reads what getdents64(2) gives: the inode number, an offset, the
// length of the record, the type, and the name up to a zero.
func parseEntries(out []Entry, b []byte) []Entry {
	const name = 19
	for len(b) > name {
		length := int(binary.NativeEndian.Uint16(b[16:]))
		if length <= name || length > len(b) {
			return out
		}
		n, _, _ := strings.Cut(string(b[name:length]), "\x00")
		if n != "." && n != ".." {
			out = append(out, Entry{Name: n, Type: uint32(b[18]) << 12, Ino: binary.NativeEndian.Uint64(b)})
		}
		b = b[length:]
	}
	return out
}
