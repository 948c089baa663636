package store

import (
	"errors"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Change is what chmod, chown, truncate and utimens ask for; nil leaves a field
// as it is. Times may be unix.UTIME_NOW.
type Change struct {
	Mode         *uint32
	UID, GID     *uint32
	Size         *int64
	Atime, Mtime *unix.Timespec
	DropSetID    bool // and the set-id bits, as a change by the caller takes them
}

// SetAttr changes the attributes of the inode that (p, id) names. Owner, mode
// and times alone are no save: they are applied in place. A new size is.
func (s *Store) SetAttr(p string, id Ident, f *File, ch Change, c Caller) (Attr, error) {
	if ch.Size != nil {
		if f == nil {
			s.roomFor(s.at(p), c, s.procs.Process(c.TID))
		}
		err := s.WithRoom(func() error { return s.truncate(p, id, f, *ch.Size, c) })
		if err != nil {
			return Attr{}, err
		}
	}
	if ch.DropSetID && ch.Mode == nil {
		if err := s.dropsSetID(p, id, f, &ch, c); err != nil {
			return Attr{}, err
		}
	}
	if f != nil {
		if err := s.applyOpen(p, id, f, ch); err != nil {
			return Attr{}, err
		}
		s.forgetDescribedAt(p)
		a, err := f.Stat()
		return a, err
	}
	if at := s.at(p); at.rec != nil {
		s.compareRecord(at.rec) // what it was is written down with what is changed
	}
	var changed *record
	err := s.reach(p, id, func(b string, rec *record) error {
		if err := s.apply(b, ch); err != nil {
			return err
		}
		if rec != nil {
			rec.forgetDescribed()
		}
		if p := s.copyShown(rec, b); p != "" {
			if err := s.apply(p, ch); err != nil {
				return err
			}
		}
		if ch.Mtime != nil && rec != nil {
			s.noteMtime(rec, b)
		}
		if ch.Mode != nil || ch.UID != nil || ch.GID != nil {
			changed = rec
		}
		return nil
	})
	if err != nil {
		return Attr{}, err
	}
	if changed != nil {
		s.viewsChanged(changed)
	}
	return s.Attr(p, id)
}

// applyOpen changes an open file, wherever its name is by now.
func (s *Store) applyOpen(p string, id Ident, f *File, ch Change) error {
	if ch.Mtime != nil && f.draft == nil {
		if at := s.at(p); at.rec != nil {
			s.compareRecord(at.rec)
		}
		reached := false
		err := s.reach(p, id, func(b string, rec *record) error {
			reached = true
			err := s.applyFd(f, ch)
			if err == nil && rec != nil {
				s.noteMtime(rec, b)
			}
			return err
		})
		if reached {
			return err
		}
	}
	return s.applyFd(f, ch)
}

func (s *Store) apply(b string, ch Change) error {
	if ch.UID != nil || ch.GID != nil {
		if err := s.disk.Chown("setattr", b, optional(ch.UID), optional(ch.GID)); err != nil {
			return err
		}
	}
	if ch.Mode != nil {
		if err := s.disk.Chmod("setattr", b, *ch.Mode); err != nil {
			return err
		}
	}
	if ch.Atime != nil || ch.Mtime != nil {
		return s.disk.Chtimes("setattr", b, timeOr(ch.Atime), timeOr(ch.Mtime))
	}
	return nil
}

func (s *Store) applyFd(f *File, ch Change) error {
	var errs []error
	if ch.UID != nil || ch.GID != nil {
		errs = append(errs, s.disk.Fchown("setattr", f.File, optional(ch.UID), optional(ch.GID)))
	}
	if ch.Mode != nil {
		errs = append(errs, s.disk.Fchmod("setattr", f.File, *ch.Mode))
	}
	if ch.Atime != nil || ch.Mtime != nil {
		errs = append(errs, s.disk.Fchtimes("setattr", f.File, timeOr(ch.Atime), timeOr(ch.Mtime)))
	}
	return errors.Join(errs...)
}

func optional(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

func timeOr(t *unix.Timespec) unix.Timespec {
	if t == nil {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return *t
}

// truncate sets the size: of an open file where it is, of a plain file by name,
// and of a committed one by way of a draft.
func (s *Store) truncate(p string, id Ident, f *File, size int64, c Caller) error {
	if f != nil {
		return s.disk.Truncate("truncate", f.File, size)
	}
	at := s.at(p)
	if at.rec == nil {
		s.arrive(c.TID)
		return s.truncateAt(p, id, size)
	}
	tgid := s.procs.Process(c.TID)
	rec := at.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	blind := s.arrive(c.TID)
	if d := rec.draftOf(at.rel, id); d != nil {
		delete(d.guests, c.TID)
		err := s.truncateAt(d.path(), id, size)
		if len(d.handles) == 0 && len(d.guests) == 0 { // truncate(2) by name: nobody will close it
			s.settle(d)
		}
		s.touch(d.save, tgid)
		return err
	}
	if blind {
		sv, err := s.inPlace(at, id)
		if err == nil {
			err = s.truncateAt(path.Join(sv.tree(), at.rel), id, size)
			s.touch(sv, tgid)
		}
		return err
	}
	return s.sendBack(c.TID, size == 0) // the kernel looks the name up again and comes back
}

func (s *Store) truncateAt(b string, id Ident, size int64) error {
	f, err := s.open(b, id, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.File.Close()
	return s.disk.Truncate("truncate", f.File, size)
}

// timed are the times that were set while a save was judged or committed, by
// inode: they are no change of content.
type timed struct {
	mu sync.Mutex
	ns map[uint64]int64
}

func (t *timed) set(ino uint64, ns int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ns == nil {
		t.ns = map[uint64]int64{}
	}
	t.ns[ino] = ns
}

func (t *timed) is(ino uint64, ns int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.ns[ino]
	return ok && at == ns
}

// noteTimes writes down the times that were set during a commit. Needs rec.mu.
func (s *Store) noteTimes(rec *record, sv *save) {
	v := rec.committed
	if v == nil || v.ID != sv.id {
		return
	}
	for _, f := range v.Files {
		sv.timed.mu.Lock()
		ns, set := sv.timed.ns[f.Ino]
		sv.timed.mu.Unlock()
		if set && ns != f.MtimeNS {
			s.noteMtime(rec, path.Join(v.where(), f.Path))
		}
	}
}

// noteMtime keeps the manifest in step when a trainer sets the time of a
// committed file, so that the next mount does not take it for a change from
// outside. Needs rec.mu in either mode.
func (s *Store) noteMtime(rec *record, b string) {
	st, err := s.disk.Stat(b)
	if err != nil || !st.IsRegular() {
		return
	}
	for _, sv := range rec.saves {
		sv.timed.set(st.Ino, st.Mtime.Nano())
	}
	if v := rec.committed; v != nil { // also when it was reached through a save
		s.retime(v, &st)
	}
	for _, v := range rec.history { // they share what was not rewritten
		s.retime(v, &st)
	}
	if rec.spread() {
		for _, v := range s.sharing(rec, st.Ino) {
			s.retime(v, &st)
		}
	}
}

// retime gives a file of a manifest the time that it has now.
func (s *Store) retime(v *Version, st *disk.Stat) {
	s.mu.Lock()
	changed := false
	files := append([]ManifestFile(nil), v.Files...)
	for i := range files {
		if files[i].Ino == st.Ino && files[i].MtimeNS != st.Mtime.Nano() {
			files[i].MtimeNS, changed = st.Mtime.Nano(), true
		}
	}
	v.Files = files
	s.mu.Unlock()
	if changed {
		s.report("write down a changed time", s.rewriteManifest("setattr:manifest", v, true))
	}
}

// Link gives the inode that (from, id) names a second name. Across the border of a
// checkpoint it is refused as between file systems: what is committed is never
// written through another door.
func (s *Store) Link(from string, id Ident, to string, c Caller) (Attr, error) {
	if private(from) || private(to) {
		return Attr{}, unix.EPERM
	}
	a, b := s.at(from), s.placeOfNew(to, unix.S_IFREG)
	if b.rec != nil && b.rec.spread() && a.rec != b.rec {
		return s.linkName(a, b, c)
	}
	if a.rec != b.rec || b.rec != nil && b.rel == "" {
		return Attr{}, unix.EXDEV
	}
	if a.rec == nil {
		if err := s.names(from, id); err != nil {
			return Attr{}, err
		}
		if err := s.disk.Link("link", from, to); err != nil {
			return Attr{}, err
		}
		return s.plainAttr(to)
	}
	var attr Attr
	err := s.WithRoom(func() (err error) {
		attr, err = s.linkInside(a, id, b, c)
		return err
	})
	return attr, err
}

// linkInside gives a file of a checkpoint a second name there.
func (s *Store) linkInside(a place, id Ident, b place, c Caller) (Attr, error) {
	rec := a.rec
	tgid := s.procs.Process(c.TID)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	dir, ok := rec.live()
	if !ok {
		return Attr{}, unix.ENOENT
	}
	if d := rec.drafts[a.rel]; d != nil && !d.visible {
		return Attr{}, unix.EBUSY // still being written
	}
	if err := s.names(path.Join(dir, a.rel), id); err != nil {
		return Attr{}, err
	}
	if d := rec.drafts[b.rel]; d != nil && !d.gone {
		return Attr{}, unix.EEXIST
	}
	sv, err := s.changing(rec, b.rel, tgid)
	if err != nil {
		return Attr{}, err
	}
	if err := s.disk.Link("link", path.Join(sv.tree(), a.rel), path.Join(sv.tree(), b.rel)); err != nil {
		s.discardIfUntouched(sv)
		return Attr{}, err
	}
	sv.rewritten[b.rel] = true
	s.core(sv, b.rel)
	s.touch(sv, tgid)
	return s.recordAttr(rec, b.rel)
}

// Getxattr reads an extended attribute; the names user.ckptfs.* are the
// store's own.
func (s *Store) Getxattr(p string, id Ident, name string, dest []byte) (n int, err error) {
	if name == capability && s.incapable(p, id) {
		return 0, unix.ENODATA
	}
	err = s.reach(p, id, func(b string, _ *record) error {
		n, err = s.disk.Getxattr(b, name, dest)
		return err
	})
	return n, err
}

// capability is the attribute that the kernel asks for before the first write to a
// file. A new one has none: nothing hands it down.
const capability = "security.capability"

// incapable reports whether a path is a draft that has no attribute which was not handed
// down to it.
func (s *Store) incapable(p string, id Ident) bool {
	at := s.at(p)
	if at.rec == nil {
		return false
	}
	at.rec.mu.RLock()
	defer at.rec.mu.RUnlock()
	d := at.rec.draftOf(at.rel, id)
	return d != nil && d.bare.Load()
}

// Listxattr lists the names of the extended attributes.
func (s *Store) Listxattr(p string, id Ident, dest []byte) (n int, err error) {
	err = s.reach(p, id, func(b string, _ *record) error {
		n, err = s.disk.Listxattr(b, dest)
		return err
	})
	return n, err
}

// Setxattr sets an extended attribute in place; it is no save. dropSetGID takes
// the setgid bit away with it.
func (s *Store) Setxattr(p string, id Ident, name string, data []byte, flags int, dropSetGID bool) error {
	return s.annotate(p, id, name, func(b string) error {
		if err := s.disk.Setxattr("setxattr", b, name, data, flags); err != nil || !dropSetGID {
			return err
		}
		st, err := s.disk.Stat(b)
		if err != nil || st.Mode&unix.S_ISGID == 0 {
			return err
		}
		return s.disk.Chmod("setxattr", b, st.Mode&^unix.S_ISGID)
	})
}

// Removexattr removes an extended attribute in place.
func (s *Store) Removexattr(p string, id Ident, name string) error {
	return s.annotate(p, id, name, func(b string) error {
		return s.disk.Removexattr("removexattr", b, name)
	})
}

// annotate changes an extended attribute, and tells the views when it is one that
// says who may do what.
func (s *Store) annotate(p string, id Ident, name string, change func(b string) error) error {
	var changed *record
	err := s.reach(p, id, func(b string, rec *record) error {
		changed = rec
		if rec != nil {
			if d := rec.draftOf("", id); d != nil {
				d.bare.Store(false)
			}
		}
		if err := change(b); err != nil {
			return err
		}
		if rec != nil {
			rec.forgetDescribed() // a list is in the mode too
		}
		if p := s.copyShown(rec, b); p != "" {
			return change(p)
		}
		return nil
	})
	if err == nil && changed != nil && name == disk.AccessACL {
		s.viewsChanged(changed)
	}
	return err
}
