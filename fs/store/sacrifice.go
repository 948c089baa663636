package store

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/policy"
)

// freeUp removes one thing after the other until there is enough, those of run r
// first. Needs room.making.
func (s *Store) freeUp(r *run, enough func() bool) bool {
	enough = s.afterCommitOfDisk(enough)
	for _, t := range s.trashOldestFirst() {
		if enough() {
			return true
		}
		if s.mayShred(t) {
			s.gave("the trash", t.Name, s.shredNow(t, "space is short"))
		}
	}
	for _, h := range s.Quarantine() {
		if enough() {
			return true
		}
		s.gave("the quarantine", h.Path, s.dropHeld(h.ID))
	}
	for _, c := range s.sacrifices(r) {
		if enough() {
			return true
		}
		s.gave("the run", c.Name, s.sacrifice(c))
	}
	return enough()
}

// gave notes that something was removed, or why it could not be.
func (s *Store) gave(from, what string, err error) {
	if err != nil {
		s.log.Info("kept, although space is short", "from", from, "what", what, "why", err)
		return
	}
	s.log.Info("removed, because space is short", "from", from, "what", what)
	s.room.mu.Lock()
	s.room.made++
	s.room.mu.Unlock()
}

// afterCommitOfDisk asks again after a sync when something was removed and there
// still is not enough: btrfs counts what was removed as free only then.
func (s *Store) afterCommitOfDisk(enough func() bool) func() bool {
	synced := s.roomMade()
	return func() bool {
		if enough() {
			return true
		}
		made := s.roomMade()
		if made == synced {
			return false
		}
		synced = made
		s.report("sync the disk to have its space back", s.disk.Syncfs("room"))
		return enough()
	}
}

// sacrifice is a version that a run gives up.
type sacrifice struct {
	run *run
	policy.Decision
}

// sacrifices lists what the runs may give up: earlier versions, then
// checkpoints, each of run r first.
func (s *Store) sacrifices(r *run) (list []sacrifice) {
	s.compareAll()
	runs := s.runsSorted()
	if i := slices.Index(runs, r); i > 0 {
		runs = slices.Insert(slices.Delete(runs, i, i+1), 0, r)
	}
	var checkpoints []sacrifice
	for _, r := range runs {
		cfg, rv := s.policyOf(r), s.candidates(r)
		if cfg.Retention.DryRun {
			continue
		}
		for _, d := range policy.Room(rv.candidates, policy.Resolve(rv.candidates, cfg), cfg.Retention, s.clock.Now()) {
			if d.State == policy.History {
				list = append(list, sacrifice{r, d})
			} else {
				checkpoints = append(checkpoints, sacrifice{r, d})
			}
		}
	}
	return append(list, checkpoints...)
}

// sacrifice removes a version for good, by way of the trash.
func (s *Store) sacrifice(c sacrifice) error {
	err := s.Delete(path.Join(c.run.path, c.Name), c.ID, strings.Join(c.Reasons, "; "))
	if lacksSpace(err) && c.State == policy.History {
		return s.dropEarlier(path.Join(c.run.path, c.Name), c.ID)
	}
	if err != nil {
		return err
	}
	for _, t := range s.trashOldestFirst() {
		if t.ID == c.ID && s.mayShred(t) {
			return s.shredNow(t, "space is short")
		}
	}
	return nil
}

// dropEarlier removes an earlier version where it lies: with its quota used up,
// btrfs refuses a rename and allows to unlink. Without its manifest it is no
// version any more, whatever a crash leaves of it.
func (s *Store) dropEarlier(p, id string) error {
	rec := s.named(p)
	if rec == nil {
		return unix.ENOENT
	}
	rec.mu.Lock()
	i := slices.IndexFunc(rec.history, func(v *Version) bool { return v.ID == id && v.views.Load() == 0 })
	if i < 0 {
		rec.mu.Unlock()
		return unix.ENOENT
	}
	v := rec.history[i]
	s.change(rec, func() { rec.history = append(rec.history[:i:i], rec.history[i+1:]...) })
	dir := v.where()
	v.gone()
	rec.mu.Unlock()
	if err := s.disk.Unlink("room:drop", manifestPath(id)); err != nil {
		return err
	}
	if err := s.disk.Sync("room:drop", manifestDir); err != nil {
		return err
	}
	return s.removeAll("room:drop", dir)
}
