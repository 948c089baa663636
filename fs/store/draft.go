package store

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/proc"
)

// draft is the one unpublished inode of a name in a save. Whoever opens the
// name for writing joins it. Its fields are guarded by the record's mu (save
// also by Store.mu).
//
//	made ──► (last writer closed it) visible ──(RELEASE)──► final
//	  └──────────────(killed, or not proven whole)────────► held back
type draft struct {
	save  *save
	rel   string
	n     int         // names the file in the save's directory of drafts
	mark  string      // ends that name: strangerSuffix or nothing
	ident Ident       // of the new inode
	bare  atomic.Bool // it was made here, and nobody has given it an extended attribute
	made  time.Time
	ready chan struct{}
	err   error // why it could not be made; set before ready is closed

	openers  map[uint32]bool // processes that find it by name
	handles  map[*File]struct{}
	guests   map[uint32]bool // threads that were shown it and are about to open it
	visible  bool            // under its name; what that held is kept in the drafts directory
	replaced bool            // there is such a kept file
	beside   bool            // it lies beside the slot: the two could not be exchanged
	gone     bool            // its name was removed or taken by a rename: nothing to publish
	veto     string          // why it must be held back
	exitZero bool            // closed by an exit with 0: the format has to prove it whole
	tight    bool            // so it has when the disk was nearly full while it was written
	closedAt time.Time       // when the last writer had closed it; the handle may live on
	look     disk.Stat       // what a judge saw of a stranger when he last looked
}

// slot is where the draft lies before it is visible, and what it replaced after.
func (d *draft) slot() string { return d.save.drafts() + "/" + strconv.Itoa(d.n) + d.mark }

// path is where its inode lies now.
func (d *draft) path() string {
	if d.visible {
		return join(d.save.tree(), d.rel)
	}
	return d.slot()
}

// flushed reports whether every writer has closed the file. Needs rec.mu.
func (d *draft) flushed() bool {
	for f := range d.handles {
		if !f.flushed {
			return false
		}
	}
	return true
}

// await returns once the inode is there. Called without locks.
func (d *draft) await() error {
	<-d.ready
	return d.err
}

// newDraft enters a draft for rel that is not ready yet. Needs rec.mu.
func (s *Store) newDraft(sv *save, rel string) *draft {
	sv.changes++
	d := &draft{
		save: sv, rel: rel, n: sv.changes, made: s.clock.Now(), ready: make(chan struct{}),
		openers: map[uint32]bool{}, handles: map[*File]struct{}{}, guests: map[uint32]bool{},
	}
	if sv.rec.stranger(rel) {
		d.mark = strangerSuffix
	}
	sv.rec.drafts[rel] = d
	return d
}

// prepared ends the making of a draft. Needs rec.mu.
func (s *Store) prepared(d *draft, st *disk.Stat, err error) {
	if err != nil {
		d.err = err
		d.gone = true
		if d.save.rec.drafts[d.rel] == d {
			delete(d.save.rec.drafts, d.rel)
		}
	} else {
		d.ident = s.identities.of(st)
	}
	close(d.ready)
}

// keptSuffix marks what a name held before, where two files cannot be exchanged.
const keptSuffix = ".old"

// kept is where the content that a visible draft replaced is kept.
func (d *draft) kept() string {
	if d.beside {
		return d.slot() + keptSuffix
	}
	return d.slot()
}

// publish puts a draft under its name, in one step, and keeps what the name
// held until the draft is final. Needs rec.mu.
func (s *Store) publish(d *draft) error {
	if d.visible || d.gone {
		return nil
	}
	target := join(d.save.tree(), d.rel)
	st, err := s.disk.Stat(target)
	switch {
	case errors.Is(err, unix.ENOENT):
		err = s.disk.Rename("draft:publish", d.slot(), target, 0)
	case err == nil && st.IsDir():
		err = fmt.Errorf("publish %s: %w", target, unix.EISDIR)
	case err == nil:
		err = s.replace(d, target, &st)
	}
	if err != nil {
		return err
	}
	d.visible = true
	sv := d.save
	s.core(sv, d.rel)
	sv.rewritten[d.rel] = true
	s.written(sv, d.rel)
	dir, _ := split(join(sv.rec.dir(), d.rel))
	s.opts.Notify.Names(dir)
	return nil
}

// replace puts a draft in the place of a file, which is kept.
func (s *Store) replace(d *draft, target string, st *disk.Stat) error {
	if s.exchange {
		err := s.disk.Rename("draft:publish", d.slot(), target, unix.RENAME_EXCHANGE)
		if !refused(err) {
			d.replaced = err == nil
			return err
		}
	}
	d.beside = true
	if err := s.share("draft:keep", target, d.kept(), st); err != nil {
		return err
	}
	d.replaced = true
	return s.disk.Rename("draft:publish", d.slot(), target, 0)
}

// finalize makes a visible draft the content of its name for good. Needs rec.mu.
func (s *Store) finalize(d *draft) error {
	if d.save.rec.drafts[d.rel] == d {
		delete(d.save.rec.drafts, d.rel)
	}
	if !d.replaced {
		return nil
	}
	d.replaced = false
	st, err := s.disk.Stat(d.kept())
	if err != nil {
		return err
	}
	return s.unlink("draft:final", d.kept(), &st)
}

// settle decides about a draft whose last handle was released. Needs rec.mu.
func (s *Store) settle(d *draft) {
	rec := d.save.rec
	if d.gone {
		if !d.visible {
			if st, err := s.disk.Stat(d.slot()); err == nil {
				s.report("remove a draft without a name", s.unlink("draft:gone", d.slot(), &st))
			}
		} else {
			s.report("finish a replaced draft", s.finalize(d))
		}
		return
	}
	if d.veto == "" && d.exitZero && !d.visible {
		if why := s.unproven(d); why != "" {
			d.veto = "the process exited without closing it, and " + why
		}
		d.save.leftOpen = true // its structure is whole; its bytes are verified before the commit
	}
	if d.veto == "" && d.tight {
		if why := s.unproven(d); why != "" {
			d.veto = "the disk was full while it was written, and " + why
		}
	}
	if d.veto != "" {
		s.holdBack(d, d.veto)
		return
	}
	seen := d.visible // nobody has believed for a moment what its name led to since
	if err := s.publish(d); err != nil {
		s.holdBack(d, err.Error())
		return
	}
	d.save.rewritten[d.rel] = true // also when it was visible before it came to this save
	s.report("finish a draft", s.finalize(d))
	if !seen {
		dir, name := split(join(rec.dir(), d.rel))
		s.opts.Notify.Entry(dir, name)
	}
}

// holdBack takes a draft out of the save, gives its name back what it held
// before, and keeps the file in quarantine with the reason (P3). Needs rec.mu.
func (s *Store) holdBack(d *draft, why string) {
	sv := d.save
	rec := sv.rec
	if rec.drafts[d.rel] == d {
		delete(rec.drafts, d.rel)
	}
	from := d.path()
	if d.visible && d.replaced {
		err := s.takeBack(d)
		s.report("take a name back", err)
		if err == nil {
			from = d.slot()
		}
	}
	d.visible, d.gone = false, true
	if st, err := s.disk.Stat(join(sv.tree(), d.rel)); err != nil || sv.found[d.rel] == st.Ino {
		delete(sv.rewritten, d.rel)
	}
	if !rec.stranger(d.rel) {
		sv.failed = fmt.Sprintf("%s is held back: %s", d.rel, why)
		sv.held[d.rel] = sv.failed
		// Before it goes: a recovery that finds neither it nor this would commit the rest.
		s.report("write down what a save waits for", s.writeSaveNote("save:held", sv, true))
	}
	if err := s.intoQuarantine(from, join(rec.dir(), d.rel), why); err != nil {
		s.report("keep a file in quarantine", err)
	}
	s.counters.Held.Add(1)
	s.log.Warn("held back", "file", join(rec.dir(), d.rel), "why", why)
	s.event("quarantine", join(rec.dir(), d.rel), why)
	dir, name := split(join(rec.dir(), d.rel))
	s.opts.Notify.Entry(dir, name)
	s.schedule(sv, s.pause(sv))
	if len(sv.held) == 0 || !sv.attended() { // else its writer may go on with the other files
		s.discardIfUntouched(sv)
	}
}

// takeBack gives the name of a visible draft what it held before; the draft lies
// in its slot then. Needs rec.mu.
func (s *Store) takeBack(d *draft) error {
	if !d.beside {
		return s.disk.Rename("draft:takeback", d.slot(), d.path(), unix.RENAME_EXCHANGE)
	}
	if err := s.disk.Rename("draft:takeback", d.path(), d.slot(), 0); err != nil {
		return err
	}
	return s.disk.Rename("draft:takeback", d.kept(), d.path(), 0)
}

// lingers is how long a handle may live on after its last close before the
// commit takes a copy of the file and leaves the handle behind.
const lingers = 10 * time.Second

// detach gives the name of a visible, closed draft an inode of its own, so that
// the save can be committed while somebody still holds the old one open or
// mapped. Needs rec.mu.
func (s *Store) detach(d *draft) error {
	target := join(d.save.tree(), d.rel)
	if err := s.unshare(target); err != nil {
		return err
	}
	err := s.finalize(d)
	d.gone = true
	d.save.changes++
	return err
}

// detachClosed does so for every draft of a record that was closed before a
// time. Needs rec.mu.
func (s *Store) detachClosed(rec *record, before time.Time) {
	for _, d := range rec.drafts {
		if !d.leavable() && d.visible && d.veto == "" && len(d.handles) > 0 && len(d.guests) == 0 && d.flushed() && !d.closedAt.After(before) {
			s.report("copy a file that is still held open", s.detach(d))
		}
	}
}

// discardIfUntouched drops a save in which, in the end, nothing was changed:
// a file was opened and what came of it was held back, say. Needs rec.mu.
func (s *Store) discardIfUntouched(sv *save) {
	if s.isEmpty(sv) {
		s.drop(sv, "there is no file in it")
		s.bury(sv.rec)
		return
	}
	if sv.untouched() && !sv.sealed && len(sv.rec.drafts) == 0 && s.holdsBase(sv) {
		s.dropSame(sv, "nothing was changed")
	}
}

// reconsider keeps what a FLUSH said of its process. Needs rec.mu.
func (f *File) reconsider(end proc.End, s *Store) {
	d := f.draft
	own := f.tgid == 0 || end.Tgid == 0 || end.Tgid == f.tgid
	if !own {
		return // a child closed its copy, or died: decides nothing
	}
	switch end.Fate {
	case proc.Died:
		d.veto = end.String()
	case proc.ExitedZero:
		if !f.flushed {
			d.exitZero = true
		}
		f.flushed = true
	case proc.Silent:
		f.silent = true
	case proc.Unknown:
		s.counters.UnknownEnds.Add(1)
		f.flushed = true
	case proc.Alive:
		f.flushed = true
	}
}

// report logs an error that no caller can be told.
func (s *Store) report(doing string, err error) {
	if err != nil {
		s.log.Error("cannot "+doing, "err", err)
	}
}
