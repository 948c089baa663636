package fs_test

import (
	"slices"

	"golang.org/x/sys/unix"
)

// How a file is opened: the flags of open(2), as letters of fopen(3) and two more.
//
//	r   reading            w   writing, from nothing       a   appending
//	r+  both               w+  both, from nothing          x   writing, exclusively
//	rw  both, made if it is not there
var openFlags = map[string]int{
	"r":  unix.O_RDONLY,
	"r+": unix.O_RDWR,
	"rw": unix.O_RDWR | unix.O_CREAT,
	"w":  unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC,
	"w+": unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC,
	"a":  unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND,
	"x":  unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL,
}

const newFileMode = 0o644

// openFile is open(2). Below a checkpoint an open for writing makes a draft, or
// joins the one that there is.
func (m *model) openFile(p int, fd, flags, name string) error {
	at, err := m.walk(p, name)
	if err != nil {
		return err
	}
	e := m.seen(p, at)
	bits := openFlags[flags]
	switch {
	case e == nil && bits&unix.O_CREAT == 0:
		return unix.ENOENT
	case e != nil && bits&unix.O_EXCL != 0:
		return unix.EEXIST
	case e != nil && e.kind == 'l':
		return unix.ELOOP // the worker follows none
	case e != nil && e.kind == 'd':
		return unix.EISDIR
	}
	h := &handle{proc: p, file: e, flags: flags, fds: 1}
	if at.in == nil {
		if e == nil {
			h.file = newFile(newFileMode)
			at.dir.kids[at.name] = h.file
			at.dir.touch()
		}
	} else if flags != "r" {
		d := at.dir.drafts[at.name]
		if d == nil {
			d = m.newDraft(at, e)
		} else if bits&unix.O_EXCL != 0 {
			return unix.EEXIST // others are writing it
		}
		d.openers[p] = true
		d.handles = append(d.handles, h)
		h.draft, h.file = d, d.file
		m.changed(at, p)
		m.mayCommit(at.in)
	}
	if bits&unix.O_TRUNC != 0 {
		h.file.data = nil
		h.file.touch()
	}
	m.open[p][fd] = h
	return nil
}

// newDraft makes the draft of a name: a new inode, with what the name holds.
func (m *model) newDraft(at place, old *entry) *draft {
	file := newFile(newFileMode)
	if old != nil {
		file.mode, file.data = old.mode, slices.Clone(old.data)
	}
	d := &draft{file: file, dir: at.dir, name: at.name, openers: map[int]bool{}}
	at.dir.drafts[at.name] = d
	return d
}

// write is write(2): at the end of what is appended to, else where the handle is.
func (m *model) write(p int, fd string, data []byte) error {
	h := m.open[p][fd]
	if !h.writes() {
		return unix.EBADF
	}
	if h.flags == "a" {
		h.at = len(h.file.data)
	}
	h.file.put(h.at, data)
	h.at += len(data)
	return nil
}

// put writes data at an offset of a file; what was skipped is zero.
func (e *entry) put(at int, data []byte) {
	if n := at + len(data); n > len(e.data) {
		e.data = append(e.data, make([]byte, n-len(e.data))...)
	}
	copy(e.data[at:], data)
	e.touch()
}

// resize cuts a file, or lengthens it by zeros.
func (e *entry) resize(size int) {
	if size < len(e.data) {
		e.data = e.data[:size:size]
	} else {
		e.put(size, nil)
	}
	e.touch()
}

// mapped is a store through a shared mapping of what the file has.
func (m *model) mapped(p int, fd string, data []byte) error {
	h := m.open[p][fd]
	switch {
	case len(h.file.data) == 0:
		return unix.EINVAL // nothing to map
	case h.flags != "r+" && h.flags != "w+" && h.flags != "rw":
		return unix.EACCES
	}
	h.file.put(0, data[:min(len(data), len(h.file.data))])
	return nil
}

func (m *model) ftruncate(p int, fd string, size int) error {
	h := m.open[p][fd]
	if !h.writes() {
		return unix.EINVAL
	}
	h.file.resize(size)
	return nil
}

// truncate is truncate(2): open, resize and close in one.
func (m *model) truncate(p int, name string, size int) error {
	at, e, err := m.find(p, name)
	switch {
	case err != nil:
		return err
	case e.kind == 'd':
		return unix.EISDIR
	case e.kind == 'l':
		return unix.ENOENT
	case at.in == nil:
		e.resize(size)
		return nil
	}
	d := at.dir.drafts[at.name]
	if d == nil {
		d = m.newDraft(at, e)
	}
	d.openers[p] = true
	d.file.resize(size)
	m.changed(at, p)
	m.publishIfClosed(d)
	m.settle(d, p)
	return nil
}

// dup gives a descriptor a second name.
func (m *model) dup(p int, fd, second string) {
	h := m.open[p][fd]
	h.fds++
	m.open[p][second] = h
}

// closeFile is close(2) by the program. When all writers have closed one of
// their descriptors the file is visible; when the last descriptor is closed it
// is final.
func (m *model) closeFile(p int, fd string) {
	h := m.open[p][fd]
	delete(m.open[p], fd)
	h.fds--
	h.flushed = true
	d := h.draft
	if d == nil {
		return
	}
	m.publishIfClosed(d)
	if h.fds == 0 {
		m.release(h)
	}
}

func (m *model) publishIfClosed(d *draft) {
	if slices.ContainsFunc(d.handles, func(h *handle) bool { return !h.flushed }) || d.killed || d.exited {
		return
	}
	m.publish(d)
}

// publish puts a draft under its name.
func (m *model) publish(d *draft) {
	if d.visible || d.gone {
		return
	}
	d.visible = true
	d.before = d.dir.kids[d.name]
	d.dir.kids[d.name] = d.file
	d.dir.touch()
}

// release is the end of a handle; with the last one the draft is decided about.
func (m *model) release(h *handle) {
	d := h.draft
	d.handles = slices.DeleteFunc(d.handles, func(other *handle) bool { return other == h })
	m.settle(d, h.proc)
}

func (m *model) settle(d *draft, p int) {
	if len(d.handles) > 0 || d.gone {
		return
	}
	delete(d.dir.drafts, d.name)
	if d.exited && !d.visible && !proven(d.name, d.file.data) {
		d.killed = true
	}
	at := place{dir: d.dir, name: d.name, in: m.checkpointOf(d.dir)}
	switch {
	case !d.killed:
		m.publish(d)
		m.wrote(at, p)
	case d.visible && d.before != nil:
		d.dir.kids[d.name] = d.before
		d.dir.touch()
	case d.visible:
		delete(d.dir.kids, d.name)
		d.dir.touch()
	}
	if d.killed {
		m.unclear(at) // a save that lost a file waits for a new attempt
	}
}

// abandon takes the name from a draft; its writers go on with a file that has none.
func (m *model) abandon(dir *entry, name string) {
	if d := dir.drafts[name]; d != nil {
		d.gone = true
		delete(dir.drafts, name)
	}
}

// die is the end of a process, by a signal or by exit(2): the kernel closes what
// it had open. What was closed by the program stays published.
func (m *model) die(p int, clean bool) {
	ended := map[*handle]bool{}
	for _, fd := range sortedKeys(m.open[p]) {
		h := m.open[p][fd]
		delete(m.open[p], fd)
		if ended[h] || h.draft == nil {
			continue
		}
		ended[h] = true
		if clean {
			h.draft.exited = h.draft.exited || !h.flushed
			h.flushed = true
		} else {
			h.draft.killed = true
		}
		m.release(h)
	}
	m.died(p, clean)
}

// crash is the end of ckptfs. What nobody had closed is held back; what was
// visible stays.
func (m *model) crash() {
	for p := range m.open {
		clear(m.open[p])
	}
	m.root.below("", func(_ string, e *entry) {
		for name, d := range e.drafts {
			d.gone = true
			delete(e.drafts, name)
		}
	})
}

// writeFile is open, write and close.
func (m *model) writeFile(p int, name string, data []byte) error {
	const fd = "its own"
	if err := m.openFile(p, fd, "w", name); err != nil {
		return err
	}
	err := m.write(p, fd, data)
	m.closeFile(p, fd)
	return err
}

// pread reads an open file.
func (m *model) pread(p int, fd string) (string, error) {
	h := m.open[p][fd]
	if h.flags == "w" || h.flags == "a" || h.flags == "x" {
		return "", unix.EBADF
	}
	return digest(h.file.data), nil
}
