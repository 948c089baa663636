package fs_test

import (
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// rename is renameat2(2). The kernel's own rules come first, then what the two
// names are decides.
func (m *model) rename(p int, from, to string, noReplace bool) error {
	a, err := m.walk(p, from)
	if err != nil {
		return err
	}
	b, err := m.walk(p, to)
	if err != nil {
		return err
	}
	src, dst := m.seen(p, a), m.seen(p, b)
	switch {
	case src == nil:
		return unix.ENOENT
	case noReplace && dst != nil:
		return unix.EEXIST
	case slices.Contains(b.within, src):
		return unix.EINVAL
	case dst != nil && slices.Contains(a.within, dst):
		return unix.ENOTEMPTY
	case src == dst:
		return nil
	case dst != nil && src.kind == 'd' && dst.kind != 'd':
		return unix.ENOTDIR
	case dst != nil && src.kind != 'd' && dst.kind == 'd':
		return unix.EISDIR
	}
	fromName := src.kind == 'd' && m.isName(a)
	toName := src.kind == 'd' && m.isName(b)
	inside := a.in != nil && a.in == b.in
	switch {
	case noReplace && b.dir.drafts[b.name] != nil:
		return unix.EEXIST // others are writing it
	case fromName && b.in != nil:
		return unix.EXDEV // one checkpoint into another
	case !fromName && a.in == nil && (toName || b.in != nil) && src.kind == 'd' && src.holdsCheckpoints():
		return unix.EXDEV // a run is no checkpoint, nor a part of one
	case a.in != nil && !inside && (a.dir.drafts[a.name] != nil || src.kind == 'd' && src.writing()):
		return unix.EBUSY // it cannot leave while it is being written
	case fromName && !toName && src.writing():
		return unix.EBUSY
	case dst != nil && dst.kind == 'd' && !dst.empty():
		return unix.ENOTEMPTY
	}
	switch {
	case inside:
		src = m.renameInside(a, b, src)
	case fromName && toName:
		m.renameCheckpoint(a, b)
	case toName:
		m.conclude(b.dir, b.name)
		m.recordOf(b).replaced(p)
	case fromName:
		m.recordOf(a).leave()
	}
	if a.in != nil && !inside || b.in != nil && !inside || toName && !fromName || fromName && !toName {
		src = m.unshare(src) // nothing of a checkpoint is reached through another door
	}
	if a.in != nil && !inside || fromName && !toName {
		src.below("", func(_ string, e *entry) { e.ino = 0 }) // the numbers of directories are the disk's own out there, files may be copies
	}
	delete(a.dir.kids, a.name)
	b.dir.kids[b.name] = src
	a.dir.touch()
	b.dir.touch()
	if !inside {
		m.abandon(b.dir, b.name)
		m.removed(a, p)
	}
	m.renamed(b, src, p)
	return nil
}

// renameInside moves a name in one checkpoint. A file that is being written is
// under its new name for everybody from here on.
func (m *model) renameInside(a, b place, src *entry) *entry {
	m.abandon(b.dir, b.name)
	d := a.dir.drafts[a.name]
	if d == nil {
		return src
	}
	m.publish(d)
	delete(a.dir.drafts, a.name)
	d.dir, d.name = b.dir, b.name
	b.dir.drafts[b.name] = d
	return d.file
}

// renameCheckpoint moves save and version to another name. Renamed aside, the
// version goes on standing for the old name until that has another.
func (m *model) renameCheckpoint(a, b place) {
	from, to := m.recordOf(a), m.recordOf(b)
	to.forget()
	v := from.committed
	to.natural, to.save, to.may = from.natural, from.save, from.may
	from.natural, from.save, from.may = nil, nil, nil
	switch {
	case to.match.Kind == layout.Backup && to.match.Of == from.name && to.run == from.run:
		if to.natural != nil {
			to.committed, v.of = v, from
		}
		return
	case v == nil:
		return
	case v.of == from: // renamed aside earlier: it stands for the new name now
		v.of = to
	case v.of != nil: // a backup that moves on stands for nothing else any more
		if v.of != to {
			v.of.committed = nil
		}
		v.of = nil
	}
	to.committed, from.committed = v, nil
}

// unshare gives what crosses the border of a checkpoint files of its own, where
// they have other names.
func (m *model) unshare(e *entry) *entry {
	names := map[*entry]int{}
	m.root.below("", func(_ string, e *entry) { names[e]++ })
	var own func(e *entry) *entry
	own = func(e *entry) *entry {
		for name, kid := range e.kids {
			e.kids[name] = own(kid)
		}
		if e.kind != 'f' || !e.shared && names[e] == 1 {
			return e
		}
		file := *e
		file.data, file.ino, file.shared = slices.Clone(e.data), 0, false
		return &file
	}
	return own(e)
}
