package store

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// What was deleted leaves the disk in the background, one entry of the trash at a
// time, a piece after the other. That must not slow a save. So while one is written
// or committed, and for a moment afterwards, nothing is removed; but for a piece now
// and then, for a trainer may never stop saving. Otherwise each piece is followed by
// a rest as long as it took the disk, journal and discard included. Who waits for
// space has nobody rest.
const (
	afterSave   = time.Second      // trainers write several files, and checkpoints
	impatience  = 10 * time.Second // then a piece goes all the same
	longest     = 5 * time.Second  // that a rest is without a save
	recheckSave = 100 * time.Millisecond
)

// pieceOfFile is how much of a large file goes at a time: freeing the blocks of
// gigabytes in one call keeps the journal of the file system, and with it every
// other writer, for as long as it takes.
const pieceOfFile = 64 << 20

// smallFiles is how many are removed without a rest.
const smallFiles = 256

// shredding is the state of it.
type shredding struct {
	emptying atomic.Bool  // the trash is gone through
	waiters  atomic.Int32 // who need the space now
	hurry    chan struct{}
	saved    atomic.Int64 // unix ns when a file of a save was closed, or a commit was through
	piece    int64
}

// emptyTrash removes in the background what trash_ttl and trash_max_total let go:
// counted from the deletion, or from when the last view stopped showing it.
func (s *Store) emptyTrash() {
	if !s.shredding.emptying.CompareAndSwap(false, true) {
		return
	}
	if !s.spawn(func() {
		defer s.shredding.emptying.Store(false)
		s.report("empty the trash", s.shredOld())
	}) {
		s.shredding.emptying.Store(false)
	}
}

func (s *Store) shredOld() error {
	entries := s.trashOldestFirst()
	if len(entries) > 0 {
		s.compareAll()
	}
	list := make([]policy.Deleted, len(entries))
	for i, t := range entries {
		list[i] = policy.Deleted{At: t.Deleted, Size: t.Size, Kept: !s.mayShred(t)}
		if v := t.version; v != nil && v.left.Load() != 0 {
			if left := time.Unix(0, v.left.Load()); left.After(t.Deleted) {
				list[i].At = left
			}
		}
	}
	var errs []error
	for _, d := range s.cfg.Retention.On(s.diskSize()).Empty(list, s.clock.Now()) {
		if t := entries[d.Index]; s.mayShred(t) { // things have moved on since
			errs = append(errs, s.shred(t, d.Reason, s.rest))
		}
	}
	return ignore(errors.Join(errs...), errStopped)
}

// diskSize is that of the file system, 0 when it is not known.
func (s *Store) diskSize() int64 {
	st, err := s.disk.Statfs()
	if err != nil {
		return 0
	}
	return int64(st.Blocks) * int64(max(st.Bsize, 1))
}

// shredNow removes an entry as fast as the disk can, also when the background is
// at it already.
func (s *Store) shredNow(t *trashed, why string) error {
	s.shredding.waiters.Add(1)
	defer s.shredding.waiters.Add(-1)
	select {
	case s.shredding.hurry <- struct{}{}: // who rests does so no longer
	default:
	}
	return s.shred(t, why, func(time.Duration) error { return nil })
}

// shred removes one entry of the trash for good. Its papers go first: what a
// crash leaves half removed must not count as a version. And its way into the
// trash is made durable before a file of it goes, whoever brought it here: a plain
// unlink once let a deleted checkpoint come back after a power cut with another
// one's bytes. rest is called between two pieces of work with the time that the
// last one took.
func (s *Store) shred(t *trashed, why string, rest func(time.Duration) error) error {
	s.mu.Lock()
	if t.restoring {
		s.mu.Unlock()
		return fmt.Errorf("%s is being restored: %w", t.Name, unix.EBUSY)
	}
	if removing := t.removing; removing != nil {
		s.mu.Unlock()
		<-removing
		return nil // whoever it was has reported how it went
	}
	if !slices.Contains(s.trash, t) {
		s.mu.Unlock()
		return nil
	}
	t.removing = make(chan struct{})
	t.going, t.Valid = true, false
	s.mu.Unlock()
	if t.version != nil {
		t.version.gone()
	}

	err := s.removeAll("trash:empty", t.path()+".json")
	if err == nil {
		err = s.removeAll("trash:empty", manifestPath(t.ID))
	}
	if err == nil {
		err = s.disk.Sync("trash:sync", trashDir)
	}
	if err == nil {
		err = s.disk.Sync("trash:papers", manifestDir)
	}
	if err == nil {
		err = s.removeSlowly("trash:empty", t.path(), rest)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	close(t.removing)
	t.removing = nil // one that could not be removed is tried again
	if err != nil {
		return fmt.Errorf("empty %s from the trash: %w", t.Name, err)
	}
	s.trash = slices.DeleteFunc(s.trash, func(o *trashed) bool { return o == t })
	s.event("shred", path.Join(t.Run, t.Name), why)
	return nil
}

// removeSlowly is removeAll with a rest after each piece of a large file, and after
// as much of small ones, or so many.
func (s *Store) removeSlowly(op disk.Op, dir string, rest func(time.Duration) error) error {
	tree, err := s.walk(dir)
	if ignore(err, unix.ENOENT, unix.ENOTDIR, unix.ENAMETOOLONG) != nil {
		return err
	}
	took, bytes, files := time.Duration(0), int64(0), 0 // since the last rest
	for _, e := range slices.Backward(tree) {
		if e.st.IsDir() {
			continue
		}
		p := path.Join(dir, e.rel)
		if err := s.cut(op, p, &e.st, rest); err != nil {
			return err
		}
		began := s.clock.Now()
		if err := ignore(s.unlink(op, p, &e.st), unix.ENOENT); err != nil {
			return err
		}
		took += s.clock.Now().Sub(began)
		bytes, files = bytes+min(e.st.Size, s.shredding.piece), files+1
		if bytes < s.shredding.piece && files < smallFiles {
			continue
		}
		if err := rest(took); err != nil {
			return err
		}
		took, bytes, files = 0, 0, 0
	}
	return s.removeAll(op, dir)
}

// cut takes the bytes of a large file from its end, a piece at a time. It leaves
// one alone that has another name, and one that somebody has open, who may go on
// reading it.
func (s *Store) cut(op disk.Op, p string, st *disk.Stat, rest func(time.Duration) error) error {
	piece := s.shredding.piece
	if !st.IsRegular() || st.Nlink > 1 || st.Size <= piece {
		return nil
	}
	f, err := s.disk.Open(op, p, unix.O_WRONLY, 0)
	if err != nil {
		return nil // unlink says what there is to say
	}
	defer f.Close()
	if now, err := s.disk.Fstat(f); err != nil || now.Ino != st.Ino || now.Nlink > 1 || !s.disk.Alone(f) {
		return nil
	}
	for size := st.Size - piece; size > 0; size -= piece {
		began := s.clock.Now()
		if err := s.disk.Truncate(op, f, size); err != nil {
			return nil
		}
		_ = s.disk.Fsync(op, f) // nothing of it is needed: it is for the time that it takes
		if err := rest(s.clock.Now().Sub(began)); err != nil {
			return err
		}
	}
	return nil
}

// rest waits after a piece of work that took so long.
func (s *Store) rest(took time.Duration) error {
	began := s.clock.Now()
	for s.shredding.waiters.Load() == 0 {
		now := s.clock.Now()
		pause := began.Add(min(took, longest)).Sub(now)
		if s.savingNow() || now.Sub(time.Unix(0, s.shredding.saved.Load())) < afterSave {
			pause = min(recheckSave, began.Add(impatience).Sub(now))
		}
		if pause <= 0 {
			break
		}
		over := make(chan struct{})
		stop := s.clock.AfterFunc(pause, func() { close(over) })
		select {
		case <-over:
		case <-s.shredding.hurry:
		case <-s.stop:
		}
		stop()
		if s.stopped() {
			break
		}
	}
	if s.stopped() {
		return errStopped
	}
	return nil
}

// noteSaved says that something of a save has just been written.
func (s *Store) noteSaved() { s.shredding.saved.Store(s.clock.Now().UnixNano()) }
