package fs_test

import (
	"golang.org/x/sys/unix"
)

// taken answers for an operation that makes a name: whether it may.
func (m *model) taken(p int, at place) error {
	if m.seen(p, at) != nil || at.dir.drafts[at.name] != nil {
		return unix.EEXIST // also when others are writing a file of that name
	}
	return nil
}

// make adds an entry that is whole at once.
func (m *model) make(p int, name string, e *entry) error {
	at, err := m.walk(p, name)
	if err == nil {
		err = m.taken(p, at)
	}
	if err != nil {
		return err
	}
	at.dir.kids[at.name] = e
	at.dir.touch()
	if e.kind == 'd' && m.isName(at) { // a new checkpoint: its save begins
		m.recordOf(at).begin(p)
	}
	m.wrote(at, p)
	return nil
}

func (m *model) mkdir(p int, name string) error { return m.make(p, name, newDir(0o755)) }

func (m *model) symlink(p int, name string) error {
	return m.make(p, name, &entry{kind: 'l', mode: 0o777, data: []byte("nowhere")})
}

// link gives a file a second name. A checkpoint is a world of its own: across
// its border it is refused, and so is what is still being written.
func (m *model) link(p int, from, to string) error {
	a, e, err := m.find(p, from)
	if err != nil {
		return err
	}
	b, err := m.walk(p, to)
	switch {
	case err != nil:
		return err
	case m.seen(p, b) != nil:
		return unix.EEXIST
	case e.kind == 'd':
		return unix.EPERM
	case a.in != b.in:
		return unix.EXDEV
	case a.dir.drafts[a.name] != nil && !a.dir.drafts[a.name].visible:
		return unix.EBUSY
	case b.dir.drafts[b.name] != nil:
		return unix.EEXIST
	}
	b.dir.kids[b.name] = e
	b.dir.touch()
	m.wrote(b, p)
	return nil
}

// unlink removes a name. What it held goes with it, and so does the name of a
// file that is being written.
func (m *model) unlink(p int, name string) error {
	at, e, err := m.find(p, name)
	switch {
	case err != nil:
		return err
	case e.kind == 'd':
		return unix.EISDIR
	}
	m.abandon(at.dir, at.name)
	delete(at.dir.kids, at.name)
	at.dir.touch()
	m.removed(at, p)
	return nil
}

// rmdir removes an empty directory. A checkpoint's own is the end of the
// checkpoint; its version goes to the trash.
func (m *model) rmdir(p int, name string) error {
	at, e, err := m.find(p, name)
	switch {
	case err != nil:
		return err
	case e.kind != 'd':
		return unix.ENOTDIR
	case !e.empty():
		return unix.ENOTEMPTY
	}
	delete(at.dir.kids, at.name)
	at.dir.touch()
	if m.isName(at) {
		m.conclude(at.dir, at.name)
		m.recordOf(at).forget()
	}
	m.removed(at, p)
	return nil
}

// rmtree is rm -r: it removes what it finds listed. A file that is being written
// and was never published is not listed, and keeps its directory.
func (m *model) rmtree(p int, name string) error {
	_, e, err := m.find(p, name)
	if err == unix.ENOENT {
		return nil // os.RemoveAll is content with that
	} else if err != nil {
		return err
	}
	if e.kind != 'd' {
		return m.unlink(p, name)
	}
	for _, kid := range sortedKeys(e.kids) {
		if err := m.rmtree(p, name+"/"+kid); err != nil {
			return err
		}
	}
	return m.rmdir(p, name)
}

// chmod and utimes change what the caller sees, in place: they are no save.
func (m *model) chmod(p int, name string, mode uint32) error {
	_, e, err := m.find(p, name)
	switch {
	case err != nil:
		return err
	case e.kind == 'l':
		return unix.ENOENT // it leads nowhere
	}
	e.mode = mode
	return nil
}

func (m *model) utimes(p int, name string, sec int64) error {
	_, e, err := m.find(p, name)
	switch {
	case err != nil:
		return err
	case e.kind == 'l':
		return unix.ENOENT
	}
	e.mtime = sec
	return nil
}

// list is what a listing shows to anybody: published names only.
func (m *model) list(p int, name string) ([]string, error) {
	_, e, err := m.find(p, name)
	switch {
	case err != nil:
		return nil, err
	case e.kind == 'l':
		return nil, unix.ENOENT // it leads nowhere
	case e.kind != 'd':
		return nil, unix.ENOTDIR
	}
	return sortedKeys(e.kids), nil
}

// read is open, read and close.
func (m *model) read(p int, name string) ([]byte, error) {
	_, e, err := m.find(p, name)
	switch {
	case err != nil:
		return nil, err
	case e.kind == 'd':
		return nil, unix.EISDIR
	case e.kind == 'l':
		return nil, unix.ELOOP
	}
	return e.data, nil
}
