package store

import (
	"fmt"
	"path"
	"time"

	"ckptfs/fs/store/disk"
)

// look compares what lies under a checkpoint's natural name with what the
// catalog says.
func (s *Store) look(p string, happened news) {
	if rec := s.named(p); rec != nil && rec.spread() {
		if dir, err := s.isDir(p); err == nil && !dir {
			s.lookFiles(rec, happened)
			return
		}
	}
	dir, name := split(p)
	st, err := s.disk.Stat(p)
	there := err == nil && s.ours(p, &st)
	rec := s.locate(p).rec
	if rec != nil && rec.spread() {
		rec = nil
	}
	if rec == nil && there {
		rec = s.checkpoint(dir, name, true)
	}
	if rec == nil || happened != nothing && s.doubtedAlready(rec) {
		return
	}
	if there {
		s.watchTree(p) // first, so that nothing changes between the look and the watch
		rec.forgetDescribed()
	}
	rec.mu.Lock()
	was := rec.committed
	if rec.dead || rec.path() != p {
		rec.mu.Unlock()
		return
	}
	if rec.committing() {
		s.lookLaterAt(p, recheck)
		rec.mu.Unlock()
		return
	}
	st, err = s.disk.Stat(p)
	there = err == nil && s.ours(p, &st)
	switch {
	case !there && rec.natural:
		s.vanished(rec)
	case !there:
		s.bury(rec)
	case rec.aside():
		s.log.Warn("a directory was put under a name whose version was renamed aside; it is not looked at before the next mount", "checkpoint", p)
	case !rec.natural && s.remains.has(p): // ours, on its way out
	case !rec.natural:
		s.doubt(rec, "it appeared from outside")
	case !rec.doubted.IsZero(): // reverify goes on with it
	case rec.judged == nil && rec.committed == nil: // nothing to compare it with
	case happened == written:
		s.doubt(rec, "it was written to from outside")
	case rec.committed != nil && rec.committed.unchecked.Load():
		s.compare(rec)
	default:
		if why := s.differs(rec, &st); why != "" {
			s.doubt(rec, "changed from outside: "+why)
		}
	}
	doubted, moved := !rec.doubted.IsZero(), rec.committed != was
	rec.mu.Unlock()
	if moved {
		s.viewsMoved(rec.run)
	}
	if doubted {
		s.reverify(rec)
	}
}

// doubtedAlready notes that a checkpoint that is in doubt was changed again.
func (s *Store) doubtedAlready(rec *record) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.doubted.IsZero() {
		return false
	}
	rec.doubted = s.clock.Now()
	return true
}

// committing reports whether what lies under the natural name may be on its way
// to be another. Needs mu.
func (rec *record) committing() bool {
	for _, sv := range rec.saves {
		if sv.sealed {
			return true
		}
	}
	return rec.stuck != nil
}

// differs says how a directory differs from what was found there last, "" when
// not. Needs rec.mu.
func (s *Store) differs(rec *record, st *disk.Stat) string {
	m := rec.judged
	if v := rec.committed; v != nil {
		s.mu.RLock()
		known := v.Manifest
		s.mu.RUnlock()
		m = &known
	}
	if m.DirIno != st.Ino {
		return "another directory has its name"
	}
	if err := s.matches(rec.path(), m); err != nil {
		return err.Error()
	}
	return ""
}

// doubt takes a checkpoint that was changed from outside out of the views, until
// it is verified. Needs rec.mu.
func (s *Store) doubt(rec *record, why string) {
	rec.doubted = s.clock.Now()
	v := rec.committed
	if v != nil {
		rec.suspect = s.damageOf(v)
	}
	s.change(rec, func() {
		rec.natural, rec.committed, rec.judged = true, nil, nil
		rec.invalid = why + "; it is verified when it has been quiet"
	})
	s.opts.Notify.Entry(rec.run.path, rec.name)
	s.opts.Notify.Dir(rec.run.path)
	s.forgetFiles(rec)
	if v == nil {
		return
	}
	s.log.Warn("changed outside", "checkpoint", rec.path(), "why", why)
	s.event("changed-outside", rec.path(), why)
	s.disown(rec, v)
	s.dropUnlike(rec)
}

// dropUnlike puts earlier versions in the trash whose files are not what they were:
// they share what was not rewritten. Needs rec.mu.
func (s *Store) dropUnlike(rec *record) {
	for i := 0; i < len(rec.history); {
		h := rec.history[i]
		if s.matches(h.where(), &h.Manifest) == nil {
			i++
			continue
		}
		s.report("take an earlier version away", s.toTrash(h, "a file of it was changed from outside"))
		s.change(rec, func() { rec.history = append(rec.history[:i:i], rec.history[i+1:]...) })
	}
}

// disown makes a version whose files are others now unreachable: who stands in a
// view of it gets ESTALE rather than a mix. Needs rec.mu.
func (s *Store) disown(rec *record, v *Version) {
	v.gone()
	for _, sv := range rec.saves {
		if sv.base == v {
			sv.base = nil // its hashes and what was synced are not believed any more
		}
	}
	if !s.damaged(v) { // until it is verified, a crash must not lose the mark
		s.report("forget a manifest", s.removeAll("outside:manifest", manifestPath(v.ID)))
	}
}

// forgetFiles has the kernel forget what it knows of the files of a checkpoint.
// Needs rec.mu.
func (s *Store) forgetFiles(rec *record) {
	s.opts.Notify.Dir(rec.path())
	tree, err := s.walk(rec.path())
	if err != nil {
		return // gone
	}
	for _, e := range tree {
		s.opts.Notify.File(path.Join(rec.path(), e.rel))
	}
}

// vanished drops a checkpoint from the views whose directory was removed or
// renamed from outside; its earlier versions go to the trash, as when it is
// deleted. Needs rec.mu.
func (s *Store) vanished(rec *record) {
	why := "its directory was removed from outside"
	s.log.Warn("gone", "checkpoint", rec.path(), "why", why)
	s.event("vanished", rec.path(), why)
	s.opts.Outside.Unwatch(rec.path())
	if v := rec.committed; v != nil {
		s.disown(rec, v)
	}
	s.change(rec, func() { rec.natural, rec.committed, rec.judged, rec.invalid = false, nil, nil, "" })
	rec.doubted = time.Time{}
	if len(rec.saves) == 0 {
		s.report("put the history of a checkpoint in the trash", s.forsake(rec, why))
	}
	s.opts.Notify.Entry(rec.run.path, rec.name)
	s.opts.Notify.Dir(rec.run.path)
}

// reverify adopts a checkpoint that was changed from outside, once it is quiet
// and nobody can write to it.
func (s *Store) reverify(rec *record) {
	rec.mu.RLock()
	since, p, suspect := rec.doubted, rec.path(), rec.suspect
	rec.mu.RUnlock()
	if since.IsZero() {
		return
	}
	quiet := s.cfg.Save.Settle
	if !rec.run.layout().Requires(rec.match.Type) {
		quiet = patience
	}
	if left := quiet - s.clock.Now().Sub(since); left > 0 {
		s.lookLaterAt(p, left)
		return
	}
	s.watchTree(p)
	rec.forgetDescribed()
	st, err := s.disk.Stat(p)
	if err != nil {
		return // an event told of it
	}
	if busy := s.writableIn(p); busy != "" {
		s.lookLaterAt(p, recheck)
		return
	}
	m, why := s.inspectNatural(rec, p, &st)
	m.inherit(suspect)
	if why == "" {
		s.report("write the manifest of an adopted checkpoint", s.writeManifest("adopt", m))
	}
	rec.mu.Lock()
	if rec.dead || rec.path() != p || rec.doubted != since || rec.committed != nil || !rec.natural || rec.committing() {
		rec.mu.Unlock()
		return
	}
	if s.matches(p, m) != nil {
		rec.doubted = s.clock.Now()
		s.lookLaterAt(p, quiet)
		rec.mu.Unlock()
		return
	}
	rec.doubted = time.Time{}
	v := s.entered(rec, m, why)
	rec.mu.Unlock()
	s.viewsMoved(rec.run)
	if v != nil {
		s.event("adopt", p, fmt.Sprintf("%s, %d files, %d bytes", m.Progress, len(m.Files), m.Size))
		s.spawn(func() { s.lookThrough(v) })
	}
}

// writableIn names a file below a natural path that somebody can still write to.
func (s *Store) writableIn(p string) string {
	tree, err := s.walk(p)
	if err != nil {
		return err.Error()
	}
	return s.writable(p, tree, func(string) bool { return false })
}
