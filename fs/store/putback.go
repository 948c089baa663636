package store

import (
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/layout/format"
)

// QuarantineReport is `quarantine list --json`.
type QuarantineReport struct {
	Quarantine []QuarantineRow `json:"quarantine"`
}

// QuarantineRow is one file that was held back; its run is "." for the root, and
// its path is below the directory.
type QuarantineRow struct {
	Run       string    `json:"run"`
	Path      string    `json:"path"`
	ID        string    `json:"id"`
	Size      int64     `json:"size"`
	Since     time.Time `json:"since"`
	ExpiresAt time.Time `json:"expires_at"`
	Reason    string    `json:"reason"`
}

// HeldBack lists what lies in quarantine, oldest first.
func (s *Store) HeldBack() QuarantineReport {
	rep := QuarantineReport{Quarantine: []QuarantineRow{}}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.quarantine {
		rep.Quarantine = append(rep.Quarantine, QuarantineRow{
			Run: shownRun(s.runOfHeld(h)), Path: h.Path, ID: h.ID, Size: h.Size,
			Since: h.Since, ExpiresAt: h.Since.Add(s.cfg.Save.IncompleteTTL), Reason: h.Reason,
		})
	}
	return rep
}

// runOfHeld is the run that a file was written in. Needs s.mu.
func (s *Store) runOfHeld(h *Held) string {
	dir := dirOf(h.Path)
	if s.runs[dir] == nil { // a checkpoint that is a directory
		dir = dirOf(dir)
	}
	return dir
}

// Hide takes from a report the runs that a user does not see.
func (r *QuarantineReport) Hide(sees func(dir string) bool) {
	r.Quarantine = visible(r.Quarantine, sees, func(q QuarantineRow) string { return q.Run })
}

// DropHeld removes a file that was held back, for good.
func (s *Store) DropHeld(id string) error {
	if s.readOnly {
		return unix.EROFS
	}
	return s.dropHeld(id)
}

// PutBack puts a file that was held back into the save of the checkpoint that it
// belongs to, under the path p, as if its writer had closed it well. A file that
// is damaged is refused, unless it is forced. The save commits when it is
// complete, like any other.
func (s *Store) PutBack(id, p string, force bool) error {
	if s.readOnly {
		return unix.EROFS
	}
	rec, rel := s.placeOfHeld(p)
	if rec == nil {
		return fmt.Errorf("%s is no file of a checkpoint", p)
	}
	defer s.buryAgain(rec)
	h := s.takeHeld(id)
	if h == nil {
		return fmt.Errorf("the quarantine holds no %s", id)
	}
	err := s.putBack(rec, rel, h, force)
	if err != nil {
		s.mu.Lock()
		s.quarantine = append(s.quarantine, h)
		s.mu.Unlock()
		return fmt.Errorf("put %s back: %w", p, err)
	}
	s.event("putback", p, "by hand, although "+h.Reason)
	s.opts.Notify.Entry(split(p))
	s.opts.Notify.Dir(dirOf(p))
	return nil
}

// placeOfHeld finds the checkpoint that a file belongs to, made when there is
// none any more.
func (s *Store) placeOfHeld(p string) (rec *record, rel string) {
	if at := s.placeOfNew(p, unix.S_IFREG); at.rec != nil {
		return at.rec, at.rel
	}
	dir, name := split(p)
	run, checkpoint := split(dir)
	if dir == "" {
		return nil, ""
	}
	return s.checkpoint(run, checkpoint, true), name
}

func (s *Store) putBack(rec *record, rel string, h *Held, force bool) error {
	from := path.Join(quarantineDir, h.ID)
	if r := s.checkFile(from, rel, format.Check); r.Problem != "" && !force {
		return fmt.Errorf("it is not whole: %s; --force puts it back all the same", r.Problem)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.dead {
		s.revive(rec)
	}
	if d := rec.drafts[rel]; d != nil && !d.gone {
		return fmt.Errorf("the name is being written: %w", unix.EBUSY)
	}
	sv, err := s.openSave(rec)
	if err == nil {
		err = s.begun(sv)
	}
	if err != nil {
		return err
	}
	to := path.Join(sv.tree(), rel)
	if old, err := s.disk.Stat(to); err == nil && old.IsRegular() {
		s.linger(to)
	}
	if err := s.disk.Rename("quarantine:back", from, to, 0); err != nil {
		s.discardIfUntouched(sv)
		return err
	}
	s.report("remove the note of a file that was put back", s.removeAll("quarantine:back", from+".json"))
	s.core(sv, rel)
	sv.rewritten[rel] = true
	s.written(sv, rel)
	sv.missing, sv.problems = nil, nil // what an earlier look found is not so any more
	s.touch(sv, 0)
	return nil
}
