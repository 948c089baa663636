package store

import (
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/proc"
)

// Caller is who asks: the thread, and the user that new files belong to.
type Caller struct {
	TID      uint32
	UID, GID uint32
	Umask    uint32 // what he takes from the mode of a new entry
}

// File is an open file of the mount. Reads and writes go straight to the
// backing file, past the store.
type File struct {
	*os.File
	Ident     Ident
	Immutable bool // of a committed version: what the kernel caches of it stays true

	store   *Store
	draft   *draft // nil when the handle changes nothing that is staged
	tgid    uint32 // the process that opened it
	watch   proc.Watch
	closes  int      // FLUSHes, by whomever
	flushed bool     // closed once by the process that opened it
	silent  bool     // that process did not answer: it is in execve
	reads   *record  // the checkpoint that a read-only handle is of; nil for others
	growing *growing // of a save, open for writing: what comes is handed on, and free space is watched
}

// Stat describes the open file, also after its name is gone.
func (f *File) Stat() (Attr, error) {
	st, err := f.store.disk.Fstat(f.File)
	if err != nil {
		return Attr{}, err
	}
	return Attr{Stat: st, Ident: f.Ident, Volatile: f.draft != nil}, nil
}

// open opens p and checks that it is the inode that id names: between a look-up
// and an open the name may have got another content.
func (s *Store) open(p string, id Ident, flags int) (*File, error) {
	flags &^= unix.O_CREAT | unix.O_EXCL | unix.O_DIRECT | unix.O_NOCTTY
	trunc := flags & unix.O_TRUNC
	if trunc != 0 && flags&unix.O_ACCMODE == unix.O_RDONLY {
		flags |= unix.O_RDWR // to empty it; who may only read is kept to that by the kernel
	}
	f, err := s.disk.Open("open", p, flags&^unix.O_TRUNC|unix.O_NONBLOCK, 0)
	if err == nil {
		var st disk.Stat
		if st, err = s.disk.Fstat(f); err == nil {
			got := s.identities.of(&st)
			if id.Ino == 0 || got == id {
				if trunc != 0 {
					err = s.disk.Truncate("open", f, 0)
				}
				if err == nil {
					return &File{File: f, Ident: got, store: s}, nil
				}
			} else {
				err = unix.ESTALE
			}
		}
		f.Close()
	}
	if old, ok := s.openReplaced(id, flags); ok {
		return old, nil
	}
	return nil, fmt.Errorf("open %s: %w", p, err)
}

// join makes f a writer of d. Needs rec.mu.
func (s *Store) join(f *File, d *draft, tgid uint32) {
	f.draft, f.tgid = d, tgid
	s.watchSpace(f)
	if tgid != 0 {
		f.watch = s.procs.Watch(tgid)
	}
	d.handles[f] = struct{}{}
	d.openers[tgid] = true
	d.save.wrote(d.rel, tgid)
}

// Publishes reports whether a close of the file is of interest: it was opened to
// change what its name holds.
func (f *File) Publishes() bool { return f.draft != nil }

// Flush is one close(2), or the kernel closing for a dead process. tid is the
// thread that the FLUSH names. Once every writer has closed, the file becomes
// visible under its name, before the close returns.
func (f *File) Flush(tid uint32) error {
	if f.draft == nil {
		return nil
	}
	s := f.store
	end := s.procs.Closing(tid) // while the FLUSH is unanswered, and only then
	d := f.draft
	tight := s.wasTight(d.made)
	rec := s.lockDraft(d)
	f.closes++
	f.reconsider(end, s)
	d.tight = d.tight || tight
	if d.gone || d.veto != "" || d.exitZero || !d.flushed() {
		rec.mu.Unlock()
		return nil // settled at RELEASE
	}
	err := s.publish(d)
	if err != nil {
		d.veto = err.Error()
		rec.mu.Unlock()
		return err
	}
	d.closedAt = s.clock.Now()
	sv := d.save
	s.touch(sv, f.tgid)
	rec.mu.Unlock()
	if s.cfg.Save.Durability == "close" {
		return s.commitAtClose(sv)
	}
	return nil
}

// Release is the end of the last descriptor and mapping. (With passthrough a
// mapping may outlive it; the lease test at commit sees that.)
func (f *File) Release() {
	f.store.unwatchSpace(f)
	f.File.Close() // before the save is judged: it must not be we who can still write to it
	if f.watch != nil {
		defer f.watch.Close()
	}
	if f.reads != nil {
		f.reads.readers.Add(-1)
	}
	if f.draft == nil {
		if f.growing != nil {
			f.store.writeBack.keep(f.growing, nil)
		}
		return
	}
	s := f.store
	d := f.draft
	rec := s.lockDraft(d)
	defer rec.mu.Unlock()
	s.writeBack.keep(f.growing, d.save)
	if !f.flushed && d.veto == "" && f.watch != nil {
		// Closed in execve, or by somebody it was passed to: ask how the opener
		// stands now.
		switch end := f.watch.End(); end.Fate {
		case proc.Died:
			d.veto = end.String()
		case proc.ExitedZero:
			d.exitZero = true
		case proc.Unknown:
			s.counters.UnknownEnds.Add(1)
		}
	}
	delete(d.handles, f)
	if len(d.handles) > 0 || len(d.guests) > 0 {
		return
	}
	if f.closes == 0 && !d.visible && !d.gone {
		// Every program closes what it has opened, or the kernel does it for the dead:
		// this open failed in the kernel, and no program ever had the file.
		s.abandon(d)
		s.schedule(d.save, s.cfg.Save.Settle)
		s.discardIfUntouched(d.save)
		s.wake()
		return
	}
	tgid := f.tgid
	s.settle(d)
	if sv := d.save; !sv.sealed && !d.gone {
		hurry, boundary := sv.hurry, sv.boundary
		s.touch(sv, tgid)
		if hurry || boundary { // said while the release was on its way
			sv.hurry, sv.boundary = hurry, boundary
			s.schedule(sv, 0)
		}
	}
	s.wake()
}

// Poison keeps the file from being published: a write of it failed. (With
// passthrough the store does not hear of it; then structure has to tell.)
func (f *File) Poison(cause error) {
	if f.draft == nil {
		return
	}
	rec := f.store.lockDraft(f.draft)
	defer rec.mu.Unlock()
	if f.draft.veto == "" {
		f.draft.veto = "a write failed: " + cause.Error()
	}
}

// Sync makes what was written durable where it lies now. When that fails something
// is lost, and nobody else will hear of it.
func (f *File) Sync() error {
	err := f.store.disk.Fsync("fsync", f.File)
	if err != nil {
		f.Poison(err)
	}
	return err
}

func opensForWriting(flags int) bool {
	return flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
}

// OpenFile opens the file that path and id name. For writing below a checkpoint
// it makes or joins the draft of the name and answers ESTALE: the kernel then
// looks the name up again, is given the draft, and opens that.
func (s *Store) OpenFile(p string, id Ident, flags int, c Caller) (*File, error) {
	f, err := s.openFile(p, id, flags, c)
	if err != nil || !opensForWriting(flags) {
		return f, err
	}
	if err := s.dropSetID(p, f, c); err != nil {
		f.Release()
		return nil, err
	}
	return f, nil
}

func (s *Store) openFile(p string, id Ident, flags int, c Caller) (f *File, err error) {
	at := s.at(p)
	writes := opensForWriting(flags)
	if at.rec == nil {
		if writes {
			s.arrive(c.TID) // it was sent back by an inode that had no name then
		}
		f, err := s.open(p, id, flags)
		if err == nil && writes && s.inTemporary(p) {
			s.watchSpace(f)
		}
		return f, err
	}
	if !writes {
		at.rec.mu.RLock()
		defer at.rec.mu.RUnlock()
		if d := at.rec.drafts[at.rel]; d != nil && d.ident == id {
			return s.open(d.path(), id, flags)
		}
		dir, ok := at.rec.live()
		if !ok {
			return nil, unix.ENOENT
		}
		f, err := s.open(path.Join(dir, at.rel), id, flags)
		if err == nil {
			f.reads, f.Immutable = at.rec, len(at.rec.saves) == 0
			at.rec.readers.Add(1)
		}
		return f, err
	}
	tgid := s.procs.Process(c.TID)
	s.roomFor(at, c, tgid)
	err = s.WithRoom(func() error {
		f, err = s.openForWriting(at, id, flags, c.TID, tgid)
		return err
	})
	if err != nil {
		at.rec.mu.Lock()
		defer at.rec.mu.Unlock()
		if d := at.rec.draftOf(at.rel, id); d != nil {
			s.unexpect(d, c.TID)
		}
	}
	return f, err
}

func (s *Store) openForWriting(at place, id Ident, flags int, tid, tgid uint32) (*File, error) {
	rec := at.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	blind := s.arrive(tid)
	if d := rec.draftOf(at.rel, id); d != nil {
		f, err := s.open(d.path(), id, flags)
		if err != nil {
			return nil, err
		}
		delete(d.guests, tid)
		s.join(f, d, tgid)
		s.touch(d.save, tgid)
		return f, nil
	}
	if blind {
		return s.openInPlace(at, id, flags, tgid)
	}
	dir, ok := rec.live()
	if !ok {
		return nil, unix.ENOENT
	}
	st, err := s.disk.Stat(path.Join(dir, at.rel))
	if err != nil && !isGone(err) {
		return nil, err
	}
	if err == nil && !st.IsRegular() {
		return s.open(path.Join(dir, at.rel), id, flags)
	}
	return nil, s.sendBack(tid, flags&unix.O_TRUNC != 0)
}

// draftOf finds the draft that an inode is of, most likely that of rel. Needs mu.
func (rec *record) draftOf(rel string, id Ident) *draft {
	if d := rec.drafts[rel]; d != nil && d.isReady() && d.ident == id {
		return d
	}
	for _, d := range rec.drafts {
		if d.isReady() && d.ident == id {
			return d
		}
	}
	return nil
}

// redraft makes a draft for a name that has content, for a thread that is about
// to open it. Needs rec.mu, which it gives back while the content is copied.
func (s *Store) redraft(at place, tid, tgid uint32, empty bool) (*draft, error) {
	rec := at.rec
	sv, err := s.changing(rec, at.rel, tgid)
	if err != nil {
		return nil, err
	}
	d := s.newDraft(sv, at.rel)
	d.openers[tgid], d.guests[tid] = true, true
	from := path.Join(sv.tree(), at.rel)
	rec.mu.Unlock()
	st, err := s.fillDraft(d, from, empty)
	rec.mu.Lock()
	s.prepared(d, &st, err)
	if err != nil {
		return nil, err
	}
	s.touch(sv, 0) // it becomes a writer when it comes back and opens the draft
	return d, nil
}

// fillDraft makes the inode of a draft: the old content, or none, with the old
// owner and mode.
func (s *Store) fillDraft(d *draft, from string, empty bool) (disk.Stat, error) {
	if empty {
		old, err := s.disk.Stat(from)
		if err != nil {
			return old, err
		}
		f, err := s.disk.Open("draft:make", d.slot(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return old, err
		}
		f.Close()
		old.Atime, old.Mtime = s.now(), s.now()
		if err := disk.CopyMeta(s.disk, "draft:make", from, d.slot(), old); err != nil {
			return old, err
		}
	} else if err := s.disk.Copy("draft:make", from, d.slot()); err != nil {
		return disk.Stat{}, err
	}
	return s.disk.Stat(d.slot())
}

func (s *Store) now() unix.Timespec { return unix.NsecToTimespec(s.clock.Now().UnixNano()) }

// openInPlace serves an open that cannot look its name up again (through
// /proc/self/fd, say): what only the save holds may be written where it is.
// Needs rec.mu.
func (s *Store) openInPlace(at place, id Ident, flags int, tgid uint32) (*File, error) {
	sv, err := s.inPlace(at, id)
	if err != nil {
		return nil, err
	}
	f, err := s.open(path.Join(sv.tree(), at.rel), id, flags)
	if err != nil {
		return nil, err
	}
	d := s.reopened(sv, at.rel, id)
	s.join(f, d, tgid)
	s.touch(sv, tgid)
	return f, nil
}

// inPlace returns the save whose inode may be written where it is, because no
// version shares it. (That a name is new in the save says nothing: it may be a
// link to what is committed.) Needs rec.mu.
func (s *Store) inPlace(at place, id Ident) (*save, error) {
	sv := at.rec.current()
	if sv != nil && sv.rewritten[at.rel] {
		st, err := s.disk.Stat(path.Join(sv.tree(), at.rel))
		if err == nil && st.Nlink == 1 && s.identities.of(&st) == id {
			return sv, nil
		}
	}
	s.log.Info("a committed file was opened for writing through a descriptor; open it by its name instead", "file", at.path)
	return nil, unix.EROFS
}
