package store

import (
	"fmt"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// swapping is the swap of one commit: the staged directory goes under the
// natural name, and what lay there into the history. How depends on what the
// kernel answers for these two directories, in this order:
//
//	exchange   one RENAME_EXCHANGE; the old version then moves on to the history
//	renames    the old version moves to the history, the new one to its name
//	copies     the same, and a directory that cannot be renamed is copied (move.go)
//
// Whichever it is, the views find the old version whole where it is kept until
// the new one is whole and durable under its name.
type swapping struct {
	sv   *save
	old  *Version // what the natural name held; nil when that was no version
	next *Version // what it holds then; nil when that is no checkpoint
	m    *Manifest
	// spoilt was renamed aside and is damaged: with its successor there it goes to
	// the trash.
	spoilt *Version
	j      *journal // the last of its moves is the new version's

	mu   sync.Mutex // one goroutine at a time undoes it
	back *journal   // the way back, once it was begun
}

// incoming is the move of the staged directory.
func (w *swapping) incoming() *move { return &w.j.Moves[len(w.j.Moves)-1] }

// outgoing is the move of what lay under the natural name; nil when nothing did.
func (w *swapping) outgoing() *move {
	if len(w.j.Moves) < 2 {
		return nil
	}
	return &w.j.Moves[0]
}

// swap makes the staged directory the committed version of its name.
func (s *Store) swap(sv *save, m *Manifest) error {
	w, err := s.planSwap(sv, m)
	if err != nil {
		return err
	}
	if err := s.keepPapers(w.old); err != nil {
		return err
	}
	err = s.WithRoom(func() error { return s.writeJournal(w.j) })
	if err == nil {
		err = s.perform(w)
	}
	if err == nil {
		err = s.show("commit:show", w.j)
	}
	if err != nil { // the record may be there even if writing it failed
		return s.swapBack(w, err)
	}
	if out := w.outgoing(); out != nil && out.Copied {
		s.reread(w.old)
	}
	if w.incoming().Copied {
		s.reread(w.next)
	}
	rec := s.install(w)
	s.noteHandedOver(rec)
	s.finish(sv)
	s.announce(rec, sv, m)
	s.report("tidy up after a commit", s.afterSwap(w))
	s.opts.Notify.Dir(rec.dir())
	if !rec.spread() { // of a file it was said when it was shown
		s.opts.Notify.Entry(rec.run.path, rec.name)
	}
	s.viewsMoved(rec.run)
	if w.next != nil {
		s.hashLater(w.next)
	}
	s.prune(rec.run)
	return nil
}

// announce tells of what was committed.
func (s *Store) announce(rec *record, sv *save, m *Manifest) {
	if sv.removal != "" {
		s.log.Info("files were removed; what is left is no checkpoint", "checkpoint", rec.path(), "why", sv.removal)
		s.event("remove", rec.path(), sv.removal)
		return
	}
	if rec.pointer() {
		s.event("point", rec.path(), "what it names is committed")
		return
	}
	s.spawn(func() { s.leads(rec.run) })
	s.rememberSave(rec.run, m)
	s.counters.Commits.Add(1)
	s.log.Info("committed", "checkpoint", rec.path(), "version", m.ID, "bytes", m.Size, "progress", m.Progress.String())
	s.event("commit", rec.path(), fmt.Sprintf("%s, %d files, %d bytes", m.Progress, len(m.Files), m.Size))
}

// keepPapers makes the manifest of an adopted version durable before it goes to
// the history, where nothing else tells its name.
func (s *Store) keepPapers(v *Version) error {
	if v == nil || !v.Adopted {
		return nil
	}
	if err := s.keepNames(v); err != nil {
		return err
	}
	return s.rewriteManifest("commit:papers", v, true)
}

// planSwap writes the record of a swap.
func (s *Store) planSwap(sv *save, m *Manifest) (*swapping, error) {
	rec := s.lockOf(sv)
	defer rec.mu.Unlock() // a rename or removal of the name waits for sealed saves
	if err := s.usable(rec); err != nil {
		return nil, err
	}
	if err := s.keepTogether(rec); err != nil {
		return nil, err
	}
	home := s.nextHome(rec)
	w := &swapping{sv: sv, m: m, j: &journal{Op: opCommit, ID: sv.id, Run: rec.run.path, Name: rec.name}}
	if rec.spread() {
		w.j.Home = home
	}
	var err error
	if w.j.Shown, err = s.showing(rec, m); err != nil {
		return nil, err
	}
	if sv.removal == "" {
		w.next = &Version{Manifest: *m, rec: rec, path: home}
	}
	if rec.natural {
		w.old = rec.committed
		st, err := s.disk.Stat(home)
		if err != nil {
			return nil, err
		}
		if st.Mounted {
			return nil, fmt.Errorf("%s is a mountpoint by now: what is mounted there is no checkpoint of this directory", rec.path())
		}
		to, why := s.retreat(sv, w.old)
		out := s.moveOf(home, to, w.old)
		out.Via, out.Why = sv.tree(), why
		w.j.Moves = append(w.j.Moves, out)
	}
	in := s.moveOf(sv.tree(), home, w.next)
	in.Ino = m.DirIno
	w.j.Moves = append(w.j.Moves, in)
	return w, nil
}

// replacedDamage is why a damaged version goes to the trash, and not to the history.
const replacedDamage = "replaced; a verification had found it damaged"

// retreat is where the directory under the natural name goes when it is
// replaced, and for the trash why: the history keeps versions that were
// overwritten, the trash anything else.
func (s *Store) retreat(sv *save, old *Version) (to, why string) {
	switch {
	case old == nil:
		return path.Join(trashDir, s.newID()), "replaced; it was not a valid checkpoint"
	case s.damaged(old) && old.rec == sv.rec:
		return path.Join(trashDir, old.ID), replacedDamage
	case sv.removal != "":
		return path.Join(trashDir, old.ID), "files of it were removed, and what was left was no checkpoint: " + sv.removal
	}
	return path.Join(historyDir, old.ID), ""
}

// perform carries out the swap and makes both names durable.
func (s *Store) perform(w *swapping) error {
	out, in := w.outgoing(), w.incoming()
	if out == nil {
		return s.advance("commit:swap", w.j, 0, s.holding(w, func(rec *record) { s.takeName(w, rec) }))
	}
	if s.exchange && !in.Crosses {
		err := s.holding(w, func(rec *record) {
			w.lies(in.From)
			s.takeName(w, rec)
		})(func() error {
			return s.disk.Rename("commit:swap", in.From, in.To, unix.RENAME_EXCHANGE)
		})
		if err == nil {
			return s.syncSwap(w.j)
		}
		if !refused(err) {
			return err
		}
	}
	away := func(rec *record) {
		w.lies(out.To)
		s.change(rec, func() { rec.natural = false })
	}
	if err := s.advance("commit:away", w.j, 0, s.holding(w, away)); err != nil {
		return err
	}
	return s.advance("commit:swap", w.j, 1, s.holding(w, func(rec *record) { s.takeName(w, rec) }))
}

// holding keeps away, while a directory moves, those who look up the name and
// those who read the version before, and then has done say where things are.
func (s *Store) holding(w *swapping, done func(*record)) holder {
	return func(f func() error) error {
		rec := s.lockOf(w.sv)
		defer rec.mu.Unlock()
		if w.old != nil {
			w.old.mu.Lock()
			defer w.old.mu.Unlock()
		}
		err := f()
		if err == nil {
			done(rec)
		}
		return err
	}
}

// lies records where the version before is. Needs its mu.
func (w *swapping) lies(at string) {
	if w.old != nil {
		w.old.path = at
	}
}

// takeName says that the new version lies under its name, not yet durably.
// Needs rec.mu.
func (s *Store) takeName(w *swapping, rec *record) {
	s.change(rec, func() {
		rec.natural, rec.invalid, rec.judged = true, w.sv.removal, w.m
		if rec.spread() {
			rec.kept = w.j.Home
		}
		w.sv.swapped, w.sv.next = true, w.next
	})
}

// syncSwap makes an exchange durable. A rename survives as a whole, so one of the
// two directories is enough.
func (s *Store) syncSwap(j *journal) error {
	in := &j.Moves[len(j.Moves)-1]
	if err := s.disk.Sync("commit:parent", dirOf(in.To)); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	return nil
}

// install makes the durable version of a swapped save what the views resolve its
// name to.
func (s *Store) install(w *swapping) *record {
	sv, old := w.sv, w.old
	rec := s.lockOf(sv)
	defer rec.mu.Unlock()
	was := rec.committed // also one that was renamed aside
	kept := was != nil && was.rec == rec && rec.inHistory(was)
	s.change(rec, func() {
		rec.committed = sv.next
		rec.remove(sv)
		if sv.removal != "" || old != nil && path.Dir(w.outgoing().To) == trashDir {
			return // the old one goes to the trash
		}
		if old != nil && old.rec != rec {
			// It was renamed aside to here, and goes on standing for its old name,
			// from the history.
		} else if old != nil {
			rec.history = append([]*Version{old}, rec.history...)
		} else if kept && len(was.Damage) > 0 {
			w.spoilt = was
		} else if kept {
			rec.history = append([]*Version{was}, rec.history...)
		} else if was != nil {
			s.handOver(was)
		}
	})
	s.carried(sv)
	s.noteTimes(rec, sv)
	if old != nil {
		s.leftView(old)
	}
	if was != nil && was != old {
		s.leftView(was)
	}
	return rec
}

func (rec *record) remove(sv *save) {
	for i, other := range rec.saves {
		if other == sv {
			rec.saves = append(rec.saves[:i:i], rec.saves[i+1:]...)
			return
		}
	}
}

// afterSwap brings what a swap replaced to where it is kept, and tidies up. All
// of it can be repeated; recovery does when a crash came in between.
func (s *Store) afterSwap(w *swapping) error {
	if out := w.outgoing(); out != nil {
		if err := s.advance("commit:keep", w.j, 0, moving(w.old, out.To)); err != nil {
			return err
		}
		if path.Dir(out.To) == trashDir {
			s.noteTrash(path.Base(out.To), w.j.Run, w.j.Name, out.Why, w.old)
		}
	}
	if w.spoilt != nil {
		if err := s.toTrash(w.spoilt, replacedDamage); err != nil {
			return err
		}
	}
	if err := s.tidy("commit:tidy", w.j); err != nil {
		return err
	}
	return s.trimHistory(w.j.Run, w.j.Name)
}

// tidy ends a commit: what was staged for it goes, and then its record.
func (s *Store) tidy(op disk.Op, j *journal) error {
	if err := s.removeAll(op, path.Join(stagingDir, j.ID)); err != nil {
		return err
	}
	return s.endJournal(j)
}
