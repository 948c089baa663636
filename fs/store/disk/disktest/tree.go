package disktest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// rootIno is the number of the directory itself, as on ext4.
const rootIno = 2

// tree is what there is by name: the inodes and the entries of directories.
type tree map[uint64]*node

// node is one inode; what a regular file holds is kept elsewhere.
type node struct {
	mode    uint32            // the S_IFMT bits, and the permissions of what is no regular file
	entries map[string]uint64 // of a directory
	names   int               // of anything else
	target  string            // of a symbolic link
	rdev    int
}

func newTree() tree {
	return tree{rootIno: {mode: unix.S_IFDIR | 0o755, entries: map[string]uint64{}}}
}

func (t tree) clone() tree {
	out := make(tree, len(t))
	for ino, n := range t {
		c := *n
		c.entries = maps.Clone(n.entries)
		out[ino] = &c
	}
	return out
}

func (n *node) isDir() bool { return n.mode&unix.S_IFMT == unix.S_IFDIR }

func (n *node) isRegular() bool { return n.mode&unix.S_IFMT == unix.S_IFREG }

// find walks a path; like the real disk it never follows a symbolic link.
func (t tree) find(p string) (uint64, error) {
	at := uint64(rootIno)
	if p == "" || p == "." {
		return at, nil
	}
	for name := range strings.SplitSeq(p, "/") {
		n := t[at]
		switch {
		case name == "..":
			return 0, unix.EXDEV
		case !n.isDir():
			return 0, unix.ENOTDIR
		}
		next, ok := n.entries[name]
		if !ok {
			return 0, unix.ENOENT
		}
		at = next
	}
	return at, nil
}

// parent finds the directory that holds the last component of a path.
func (t tree) parent(p string) (dir uint64, name string, err error) {
	d, name := path.Split(p)
	dir, err = t.find(strings.TrimSuffix(d, "/"))
	if err == nil && !t[dir].isDir() {
		err = unix.ENOTDIR
	}
	return dir, name, err
}

// change is one entry of a directory that is another one now, or none.
type change struct {
	dir  uint64
	name string
	ino  uint64 // 0: the name is gone
	was  uint64 // what it meant before
}

// apply makes changes of names.
func (t tree) apply(changes []change) {
	for _, c := range changes {
		entries := t[c.dir].entries
		if old := t[entries[c.name]]; old != nil {
			old.names--
		}
		delete(entries, c.name)
		if c.ino != 0 {
			entries[c.name] = c.ino
			t[c.ino].names++
		}
	}
}

// A step is one call that changes names, by path: it can be carried out on any
// tree. It says which entries it changes there, and changes nothing.
type step func(t tree) ([]change, error)

// made enters a new inode under a name.
func made(p string, ino uint64, n node) step {
	return func(t tree) ([]change, error) {
		dir, name, err := t.parent(p)
		if err != nil {
			return nil, err
		}
		if t[dir].entries[name] != 0 {
			return nil, unix.EEXIST
		}
		if t[ino] == nil {
			fresh := n
			if fresh.isDir() {
				fresh.entries = map[string]uint64{}
			}
			t[ino] = &fresh
		}
		return []change{{dir: dir, name: name, ino: ino}}, nil
	}
}

func linked(from, to string) step {
	return func(t tree) ([]change, error) {
		ino, err := t.find(from)
		if err != nil {
			return nil, err
		}
		dir, name, err := t.parent(to)
		switch {
		case err != nil:
			return nil, err
		case t[ino].isDir():
			return nil, unix.EPERM
		case t[dir].entries[name] != 0:
			return nil, unix.EEXIST
		}
		return []change{{dir: dir, name: name, ino: ino}}, nil
	}
}

func removed(p string, directory bool) step {
	return func(t tree) ([]change, error) {
		dir, name, err := t.parent(p)
		if err != nil {
			return nil, err
		}
		ino := t[dir].entries[name]
		switch n := t[ino]; {
		case ino == 0:
			return nil, unix.ENOENT
		case directory && !n.isDir():
			return nil, unix.ENOTDIR
		case directory && len(n.entries) > 0:
			return nil, unix.ENOTEMPTY
		case !directory && n.isDir():
			return nil, unix.EISDIR
		}
		return []change{{dir: dir, name: name, was: ino}}, nil
	}
}

func renamed(from, to string, flags uint) step {
	return func(t tree) ([]change, error) {
		fdir, fname, err := t.parent(from)
		if err != nil {
			return nil, err
		}
		tdir, tname, err := t.parent(to)
		if err != nil {
			return nil, err
		}
		src, dst := t[fdir].entries[fname], t[tdir].entries[tname]
		switch {
		case src == 0 || dst == 0 && flags&unix.RENAME_EXCHANGE != 0:
			return nil, unix.ENOENT
		case flags&unix.RENAME_EXCHANGE != 0:
			return []change{{fdir, fname, dst, src}, {tdir, tname, src, dst}}, nil
		case dst != 0 && flags&unix.RENAME_NOREPLACE != 0:
			return nil, unix.EEXIST
		case src == dst:
			return nil, nil
		case dst != 0 && t[dst].isDir() && !t[src].isDir():
			return nil, unix.EISDIR
		case dst != 0 && !t[dst].isDir() && t[src].isDir():
			return nil, unix.ENOTDIR
		case dst != 0 && len(t[dst].entries) > 0:
			return nil, unix.ENOTEMPTY
		}
		return []change{{fdir, fname, 0, src}, {tdir, tname, src, dst}}, nil
	}
}

// each calls f for everything that can be reached, directories before what is
// in them, in the order of names.
func (t tree) each(f func(p string, ino uint64, n *node)) {
	var visit func(p string, ino uint64)
	visit = func(p string, ino uint64) {
		n := t[ino]
		f(p, ino, n)
		for _, name := range slices.Sorted(maps.Keys(n.entries)) {
			visit(path.Join(p, name), n.entries[name])
		}
	}
	visit("", rootIno)
}
