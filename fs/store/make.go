package store

import (
	"errors"
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
	} else if sv, err = s.rewrites(sv, rel, tgid); err != nil {
		return nil, err
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
	if private(p) {
		return nil, Attr{}, unix.EPERM
	}
	tgid := s.procs.Process(c.TID)
	if at := s.placeOfNew(p, unix.S_IFREG); at.rec != nil {
		s.roomFor(at, c, tgid)
	}
	err = s.WithRoom(func() error {
		if at := s.placeOfNew(p, unix.S_IFREG); at.rec == nil {
			f, a, err = s.createPlain(p, flags, mode, c)
		} else {
			f, a, err = s.create(at, flags, mode, c, tgid)
		}
		return err
	})
	return f, a, err
}

func (s *Store) create(at place, flags int, mode uint32, c Caller, tgid uint32) (*File, Attr, error) {
	rec := at.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if s.obstructed(rec, at.rel) {
		s.bury(rec)
		return nil, Attr{}, unix.ESTALE // the kernel finds what is there
	}
	if rec.dead && rec.spread() {
		s.revive(rec)
	}
	if d := rec.drafts[at.rel]; d != nil && !d.gone {
		if flags&unix.O_EXCL != 0 {
			return nil, Attr{}, unix.EEXIST
		}
		return nil, Attr{}, s.sendBack(c.TID, flags&unix.O_TRUNC != 0)
	}
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		s.bury(rec)
		return nil, Attr{}, err
	}
	target := join(sv.tree(), at.rel)
	if _, err := s.disk.Stat(target); err == nil {
		if flags&unix.O_EXCL != 0 {
			return nil, Attr{}, unix.EEXIST
		}
		return nil, Attr{}, s.sendBack(c.TID, flags&unix.O_TRUNC != 0) // it came into being after the look-up
	}
	d := s.newDraft(sv, at.rel)
	d.bare.Store(true)
	f, st, err := s.makeDraft(d, flags, mode, c, path.Dir(target))
	s.prepared(d, &st, err)
	if err != nil {
		s.discardIfUntouched(sv)
		return nil, Attr{}, err
	}
	s.join(f, d, tgid)
	s.touch(sv, tgid)
	return f, Attr{Stat: st, Ident: d.ident, Volatile: true, Checkpoint: true, Staged: true}, nil
}

// makeDraft makes the inode of a new file, whose name is going to be in dir.
func (s *Store) makeDraft(d *draft, flags int, mode uint32, c Caller, dir string) (f *File, st disk.Stat, err error) {
	keep := flags&^(unix.O_DIRECT|unix.O_TRUNC|unix.O_NOCTTY) | unix.O_CREAT | unix.O_EXCL
	above, err := s.heritageOf(dir)
	if err != nil {
		return nil, st, err
	}
	var file *os.File
	err = asCaller(above.acl, mode, c, func(mode uint32) error {
		file, err = s.disk.Open("draft:make", d.slot(), keep, mode)
		return err
	})
	if err != nil {
		return nil, st, err
	}
	st, err = s.disk.Fstat(file)
	if err == nil {
		var changed bool
		if changed, err = s.handDown("draft:make", &above, d.slot(), &st, mode); changed && err == nil {
			st, err = s.disk.Fstat(file)
		}
	}
	if err != nil {
		file.Close()
		return nil, st, err
	}
	return &File{File: file, Ident: s.identities.of(&st), store: s}, st, nil
}

func (s *Store) createPlain(p string, flags int, mode uint32, c Caller) (*File, Attr, error) {
	keep := flags&^(unix.O_DIRECT|unix.O_TRUNC|unix.O_NOCTTY) | unix.O_CREAT | unix.O_EXCL
	var file *os.File
	err := asCaller(s.inherited(dirOf(p)), mode, c, func(mode uint32) (err error) {
		file, err = s.disk.Open("create", p, keep, mode)
		return err
	})
	if errors.Is(err, unix.EEXIST) && flags&unix.O_EXCL == 0 {
		// It came into being after the look-up: whether the caller may open it is
		// for the kernel to say, who looks it up again.
		return nil, Attr{}, unix.ESTALE
	}
	if err != nil {
		return nil, Attr{}, err
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

func dirOf(p string) string {
	dir, _ := split(p)
	return dir
}

// Mkdir makes a directory. A checkpoint's name opens a save.
func (s *Store) Mkdir(p string, mode uint32, c Caller) (Attr, error) {
	return s.makeEntry(p, mode, c, func(b string, mode uint32) error { return s.disk.Mkdir("mkdir", b, mode) }, unix.S_IFDIR)
}

// Mknod makes a regular file, a pipe, a socket or a device.
func (s *Store) Mknod(p string, mode, dev uint32, c Caller) (Attr, error) {
	if mode&unix.S_IFMT == 0 {
		mode |= unix.S_IFREG
	}
	return s.makeEntry(p, mode, c, func(b string, mode uint32) error { return s.disk.Mknod("mknod", b, mode, int(dev)) }, mode&unix.S_IFMT)
}

// Symlink makes a symbolic link.
func (s *Store) Symlink(target, p string, c Caller) (Attr, error) {
	return s.makeEntry(p, 0o777, c, func(b string, _ uint32) error { return s.disk.Symlink("symlink", target, b) }, unix.S_IFLNK)
}

// builder makes an entry at a path of the backing directory.
type builder func(b string, mode uint32) error

// makeEntry makes an entry that is whole at once, where the path belongs.
func (s *Store) makeEntry(p string, mode uint32, c Caller, build builder, typ uint32) (a Attr, err error) {
	if private(p) {
		return Attr{}, unix.EPERM
	}
	if typ == unix.S_IFDIR || typ == unix.S_IFREG {
		s.roomFor(s.placeOfNew(p, typ), c, s.procs.Process(c.TID))
	}
	err = s.WithRoom(func() error {
		a, err = s.buildEntry(s.placeOfNew(p, typ), mode, c, build, typ)
		return err
	})
	return a, err
}

// placeOfNew is where a path belongs at which an entry of a type is about to be
// made: a directory may be a new checkpoint, and so may a file, or the first of
// several.
func (s *Store) placeOfNew(p string, typ uint32) place {
	at := s.at(p)
	if at.rec != nil || typ != unix.S_IFDIR && typ != unix.S_IFREG {
		return at
	}
	parent, name := split(p)
	if s.at(parent).rec != nil {
		return at
	}
	rec := s.checkpoint(parent, name, typ == unix.S_IFDIR)
	switch {
	case rec == nil:
		return at
	case rec.spread():
		return place{p, rec, name}
	}
	return place{p, rec, ""}
}

func (s *Store) buildEntry(at place, mode uint32, c Caller, build builder, typ uint32) (Attr, error) {
	make := func(b string) error {
		return asCaller(s.inherited(dirOf(b)), mode, c, func(mode uint32) error { return build(b, mode) })
	}
	p, dir := at.path, typ == unix.S_IFDIR
	if at.rec == nil || at.rel == "" && !dir || at.rec.spread() && typ != unix.S_IFREG {
		if at.rec != nil && s.isStaged(at) {
			return Attr{}, unix.EEXIST
		}
		if err := make(p); err != nil {
			return Attr{}, err
		}
		s.noteAlias(p)
		return s.plainAttr(p)
	}
	rec := at.rec
	tgid := s.procs.Process(c.TID)
	rec.mu.Lock()
	if rec.dead { // forgotten since it was found
		rec.mu.Unlock()
		return s.buildEntry(s.placeOfNew(p, typ), mode, c, build, typ)
	}
	defer rec.mu.Unlock()
	if s.obstructed(rec, at.rel) {
		s.bury(rec)
		return Attr{}, unix.EEXIST
	}
	if at.rel == "" {
		return s.makeCheckpoint(rec, mode, c, build, tgid)
	}
	if d := rec.drafts[at.rel]; d != nil && !d.gone {
		return Attr{}, unix.EEXIST
	}
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		return Attr{}, err
	}
	if err := make(join(sv.tree(), at.rel)); err != nil {
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
func (s *Store) makeCheckpoint(rec *record, mode uint32, c Caller, build builder, tgid uint32) (Attr, error) {
	if rec.dead { // somebody found nothing under the name since it was looked up
		s.revive(rec)
	}
	if _, ok := rec.live(); ok || s.occupied(rec) {
		return Attr{}, unix.EEXIST
	}
	run := rec.run.path
	sv, err := s.stage(rec, func(sv *save) error {
		above, err := s.heritageOf(run)
		if err != nil {
			return err
		}
		err = asCaller(above.acl, mode, c, func(mode uint32) error { return build(sv.tree(), mode) })
		var st disk.Stat
		if err == nil {
			st, err = s.disk.Stat(sv.tree())
		}
		if err == nil {
			_, err = s.handDown("mkdir", &above, sv.tree(), &st, mode)
		}
		if err == nil {
			err = s.noteSave(sv)
		}
		return err
	})
	if err != nil {
		s.bury(rec)
		return Attr{}, err
	}
	s.touch(sv, tgid)
	return s.recordAttr(rec, "")
}
