package store

import (
	"os"
	"path"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// changing returns the save that takes a change of rel, which begins a new
// attempt where this change says so. Needs rec.mu.
func (s *Store) changing(rec *record, rel string, tgid uint32) (*save, error) {
	sv, err := s.openSave(rec)
	if err != nil {
		return nil, err
	}
	if s.beginsAttempt(sv, rel, tgid) {
		if sv, err = s.newAttempt(sv); err != nil {
			return nil, err
		}
	}
	if err := s.begun(sv); err != nil {
		return nil, err
	}
	sv.wrote(rel, tgid)
	return sv, nil
}

// Create makes and opens a new file for the caller. Below a checkpoint the file
// is a draft; when another process has one of that name already, ESTALE sends
// the kernel to look it up, and the caller joins it.
func (s *Store) Create(p string, flags int, mode uint32, c Caller) (f *File, a Attr, err error) {
	at := s.at(p)
	if private(p) {
		return nil, Attr{}, unix.EPERM
	}
	if at.rec != nil {
		s.roomFor(at, c)
	}
	err = s.WithRoom(func() error {
		if at.rec == nil {
			f, a, err = s.createPlain(p, flags, mode, c)
		} else {
			f, a, err = s.create(at, flags, mode, c)
		}
		return err
	})
	return f, a, err
}

func (s *Store) create(at place, flags int, mode uint32, c Caller) (*File, Attr, error) {
	tgid := s.procs.Process(c.TID)
	rec := at.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if d := rec.drafts[at.rel]; d != nil && !d.gone {
		if flags&unix.O_EXCL != 0 {
			return nil, Attr{}, unix.EEXIST
		}
		d.openers[tgid] = true
		return nil, Attr{}, rec.sendBack(at.rel, c.TID)
	}
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		return nil, Attr{}, err
	}
	target := path.Join(sv.tree(), at.rel)
	if _, err := s.disk.Stat(target); err == nil {
		if flags&unix.O_EXCL != 0 {
			return nil, Attr{}, unix.EEXIST
		}
		return nil, Attr{}, unix.ESTALE // it came into being after the look-up
	}
	parent, err := s.disk.Stat(path.Dir(target))
	if err != nil {
		return nil, Attr{}, err
	}
	d := s.newDraft(sv, at.rel)
	f, st, err := s.makeDraft(d, flags, mode, c, &parent)
	s.prepared(d, &st, err)
	if err != nil {
		return nil, Attr{}, err
	}
	s.join(f, d, tgid)
	s.touch(sv, tgid)
	return f, Attr{Stat: st, Ident: d.ident, Volatile: true, Checkpoint: true, Staged: true}, nil
}

func (s *Store) makeDraft(d *draft, flags int, mode uint32, c Caller, parent *disk.Stat) (*File, disk.Stat, error) {
	keep := flags &^ (unix.O_DIRECT | unix.O_TRUNC | unix.O_NOCTTY)
	f, err := s.disk.Open("draft:make", d.slot(), keep|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return nil, disk.Stat{}, err
	}
	if err := s.own("draft:make", d.slot(), mode, c, parent); err != nil {
		f.Close()
		return nil, disk.Stat{}, err
	}
	st, err := s.disk.Fstat(f)
	if err != nil {
		f.Close()
		return nil, st, err
	}
	return &File{File: f, Ident: s.identities.of(&st), store: s}, st, nil
}

func (s *Store) createPlain(p string, flags int, mode uint32, c Caller) (*File, Attr, error) {
	parent, err := s.disk.Stat(dirOf(p))
	if err != nil {
		return nil, Attr{}, err
	}
	_, before := s.disk.Stat(p)
	keep := flags &^ (unix.O_DIRECT | unix.O_NOCTTY)
	file, err := s.disk.Open("create", p, keep|unix.O_CREAT|unix.O_NONBLOCK, mode)
	if err != nil {
		return nil, Attr{}, err
	}
	if isGone(before) {
		if err := s.own("create", p, mode, c, &parent); err != nil {
			file.Close()
			return nil, Attr{}, err
		}
	}
	st, err := s.disk.Fstat(file)
	if err != nil {
		file.Close()
		return nil, Attr{}, err
	}
	id := s.identities.of(&st)
	f := &File{File: file, Ident: id, store: s}
	if s.inTemporary(p) {
		s.watchSpace(f)
	}
	return f, Attr{Stat: st, Ident: id}, nil
}

// own gives a new entry to the caller; in a setgid directory to its group, as
// the file system itself would do if the caller made it. Changing the owner
// clears the set-id bits, so the mode comes last.
func (s *Store) own(op disk.Op, p string, mode uint32, c Caller, parent *disk.Stat) error {
	if os.Geteuid() != 0 {
		return nil // everything belongs to the one user anyway
	}
	st, err := s.disk.Stat(p)
	if err != nil {
		return err
	}
	gid := c.GID
	want := st.Mode&^0o7777 | mode&0o7777
	if parent.Mode&unix.S_ISGID != 0 {
		gid = parent.GID
		if st.IsDir() {
			want |= unix.S_ISGID
		}
	}
	if st.UID != c.UID || st.GID != gid {
		if err := s.disk.Chown(op, p, int(c.UID), int(gid)); err != nil {
			return err
		}
	}
	if now, err := s.disk.Stat(p); err != nil || st.IsSymlink() || now.Mode == want {
		return err
	}
	return s.disk.Chmod(op, p, want)
}

func dirOf(p string) string {
	dir, _ := split(p)
	return dir
}

// Mkdir makes a directory. A checkpoint's name opens a save.
func (s *Store) Mkdir(p string, mode uint32, c Caller) (Attr, error) {
	return s.makeEntry(p, c, func(b string, parent *disk.Stat) error {
		if err := s.disk.Mkdir("mkdir", b, mode); err != nil {
			return err
		}
		return s.own("mkdir", b, mode, c, parent)
	}, true)
}

// Mknod makes a regular file, a pipe, a socket or a device.
func (s *Store) Mknod(p string, mode, dev uint32, c Caller) (Attr, error) {
	return s.makeEntry(p, c, func(b string, parent *disk.Stat) error {
		if err := s.disk.Mknod("mknod", b, mode, int(dev)); err != nil {
			return err
		}
		return s.own("mknod", b, mode, c, parent)
	}, false)
}

// Symlink makes a symbolic link.
func (s *Store) Symlink(target, p string, c Caller) (Attr, error) {
	return s.makeEntry(p, c, func(b string, parent *disk.Stat) error {
		if err := s.disk.Symlink("symlink", target, b); err != nil {
			return err
		}
		return s.own("symlink", b, 0o777, c, parent)
	}, false)
}

// makeEntry makes an entry that is whole at once, where the path belongs.
func (s *Store) makeEntry(p string, c Caller, build func(b string, parent *disk.Stat) error, dir bool) (a Attr, err error) {
	if private(p) {
		return Attr{}, unix.EPERM
	}
	if dir {
		s.roomFor(s.placeOfNew(p, dir), c)
	}
	err = s.WithRoom(func() error {
		a, err = s.buildEntry(s.placeOfNew(p, dir), c, build, dir)
		return err
	})
	return a, err
}

// placeOfNew is where a path belongs at which an entry is about to be made: a
// directory may be a new checkpoint.
func (s *Store) placeOfNew(p string, dir bool) place {
	at := s.at(p)
	if at.rec == nil && dir {
		if parent, name := split(p); s.at(parent).rec == nil {
			if rec := s.checkpoint(parent, name); rec != nil {
				at = place{p, rec, ""}
			}
		}
	}
	return at
}

func (s *Store) buildEntry(at place, c Caller, build func(b string, parent *disk.Stat) error, dir bool) (Attr, error) {
	p := at.path
	if at.rec == nil || at.rel == "" && !dir {
		parent, err := s.disk.Stat(dirOf(p))
		if err == nil {
			err = build(p, &parent)
		}
		if err != nil {
			return Attr{}, err
		}
		s.noteAlias(p)
		return s.plainAttr(p)
	}
	rec := at.rec
	tgid := s.procs.Process(c.TID)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if at.rel == "" {
		return s.makeCheckpoint(rec, build, tgid)
	}
	if d := rec.drafts[at.rel]; d != nil && !d.gone {
		return Attr{}, unix.EEXIST
	}
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		return Attr{}, err
	}
	b := path.Join(sv.tree(), at.rel)
	parent, err := s.disk.Stat(path.Dir(b))
	if err == nil {
		err = build(b, &parent)
	}
	if err != nil {
		s.discardIfUntouched(sv)
		return Attr{}, err
	}
	if !dir {
		s.core(sv, at.rel)
	}
	sv.rewritten[at.rel] = true
	s.touch(sv, tgid)
	return s.recordAttr(rec, at.rel)
}

// makeCheckpoint opens the save of a new, empty checkpoint. Needs rec.mu.
func (s *Store) makeCheckpoint(rec *record, build func(string, *disk.Stat) error, tgid uint32) (Attr, error) {
	if _, ok := rec.live(); ok || s.occupied(rec) {
		return Attr{}, unix.EEXIST
	}
	parent, err := s.disk.Stat(rec.run.path)
	if err != nil {
		return Attr{}, err
	}
	sv, err := s.stage(rec, func(sv *save) error {
		if err := build(sv.tree(), &parent); err != nil {
			return err
		}
		return s.noteSave(sv)
	})
	if err != nil {
		s.bury(rec)
		return Attr{}, err
	}
	s.touch(sv, tgid)
	return s.recordAttr(rec, "")
}
