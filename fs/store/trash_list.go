package store

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// TrashReport is `trash list --json`.
type TrashReport struct {
	Trash []TrashRow `json:"trash"`
}

// TrashRow is one deleted checkpoint or earlier version; its run is "." for the
// root.
type TrashRow struct {
	Run         string      `json:"run"`
	Name        string      `json:"name"`
	Version     string      `json:"version"`
	Kind        layout.Kind `json:"kind"`
	Epoch       *int64      `json:"epoch"`
	Step        *int64      `json:"step"`
	GlobalStep  *int64      `json:"global_step"`
	Size        int64       `json:"size"`
	CommittedAt *time.Time  `json:"committed_at"` // null for what was no version
	DeletedAt   time.Time   `json:"deleted_at"`
	ExpiresAt   *time.Time  `json:"expires_at"` // null as long as it is protected
	Valid       bool        `json:"valid"`      // it was a committed version
	Protected   bool        `json:"protected"`  // neither age nor space removes it
	InUse       bool        `json:"in_use"`     // somebody has it open
	Reason      string      `json:"reason"`     // why it was deleted
}

// Trash lists what was deleted, the newest deletion first.
func (s *Store) Trash() TrashReport {
	s.compareAll()
	rep := TrashReport{Trash: []TrashRow{}}
	for _, t := range slices.Backward(s.trashOldestFirst()) {
		protected := s.cfg.Retention.ProtectLast && s.lastValid(t)
		s.mu.RLock()
		row := TrashRow{
			Run: shownRun(t.Run), Name: t.Name, Version: t.ID, Size: t.Size, DeletedAt: t.Deleted,
			Valid: t.Valid, Protected: protected, Reason: t.Reason,
		}
		s.mu.RUnlock()
		if v := t.version; v != nil {
			row.Kind, row.Epoch, row.Step, row.GlobalStep = v.Kind, v.Progress.Epoch, v.Progress.Step, v.Progress.GlobalStep
			at := v.CommittedAt
			row.CommittedAt, row.InUse = &at, v.views.Load() > 0
		}
		if !protected {
			at := t.Deleted.Add(s.cfg.Retention.TrashTTL)
			row.ExpiresAt = &at
		}
		rep.Trash = append(rep.Trash, row)
	}
	return rep
}

// shownRun is the path of a run as reports have it.
func shownRun(run string) string {
	if run == "" {
		return "."
	}
	return run
}

// Hide takes from a report the runs that a user does not see.
func (r *TrashReport) Hide(sees func(dir string) bool) {
	r.Trash = visible(r.Trash, sees, func(t TrashRow) string { return t.Run })
}

// becomesFree gives the kernel a moment to forget an entry that nobody uses, and reports
// whether it has.
func (s *Store) becomesFree(t *trashed) bool {
	const tries = 5
	for try := 1; !s.free(t); try++ { // which tells the kernel, too
		if try == tries {
			return false
		}
		s.await(context.Background(), recheckViews)
	}
	return true
}

// Shred removes one entry of the trash for good, whatever its age. What is
// protected goes only with all; what somebody has open does not go.
func (s *Store) Shred(id string, all bool) error {
	s.compareAll()
	for _, t := range s.trashOldestFirst() {
		if t.ID != id {
			continue
		}
		name := path.Join(t.Run, t.Name)
		switch {
		case s.readOnly:
			return unix.EROFS
		case !s.becomesFree(t):
			return fmt.Errorf("%s is open, or being restored; try again later", name)
		case !all && s.cfg.Retention.ProtectLast && s.lastValid(t):
			return fmt.Errorf("%s is the newest valid version that its run has left; --all removes it too", name)
		}
		return s.shredNow(t, "the trash was emptied by hand")
	}
	return fmt.Errorf("the trash holds no %s", id)
}
