package disktest

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// info is an fs.FileInfo of a name.
type info struct {
	m    *Memory
	name string
	path string
}

func (i info) stat() disk.Stat {
	st, _ := i.m.Stat(i.path) // of what is gone meanwhile nothing is known
	return st
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.stat().Size }
func (i info) ModTime() time.Time { st := i.stat(); return time.Unix(st.Mtime.Unix()) }
func (i info) IsDir() bool        { return i.Mode().IsDir() }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	st := i.stat()
	mode := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return mode
	case unix.S_IFDIR:
		return mode | fs.ModeDir
	case unix.S_IFLNK:
		return mode | fs.ModeSymlink
	}
	return mode | fs.ModeIrregular
}
