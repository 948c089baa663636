package store

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ckptfs/policy"
)

// pruneAll applies the retention policy to every run.
func (s *Store) pruneAll() {
	s.mu.RLock()
	var runs []*run
	for _, r := range s.runs {
		runs = append(runs, r)
	}
	s.mu.RUnlock()
	for _, r := range runs {
		s.prune(r)
	}
}

// pruneAgain is how soon a checkpoint is tried again that a cached view kept.
const pruneAgain = 2 * time.Second

// prune applies the configured policy to a run in the background; it never
// takes what a view resolves to, and every deletion is an event with its reason.
func (s *Store) prune(r *run) {
	cfg := s.policyOf(r)
	if !cfg.Retention.JudgesRun() { // trimHistory does the rest
		return
	}
	s.compareAll()
	rv := s.candidates(r)
	rv.views = policy.Resolve(rv.candidates, cfg)
	decisions := policy.Retain(rv.candidates, rv.views, cfg.Retention.On(s.diskSize()), s.clock.Now())
	if cfg.Retention.DryRun {
		s.foretell(r, decisions)
		return
	}
	for _, d := range decisions {
		if d.Action != policy.ActionDelete {
			continue
		}
		why := strings.Join(d.Reasons, "; ")
		if err := s.Delete(path.Join(r.path, d.Name), d.ID, why); err != nil {
			s.log.Info("not pruned now", "checkpoint", path.Join(r.path, d.Name), "err", err)
		}
	}
	// A view that nobody uses may only be remembered by the kernel: tell it to
	// forget that, and ask again in a moment.
	shown := s.protected(r)
	for i, c := range rv.candidates {
		if v := rv.versions[i]; c.InUse && v != nil && !slices.Contains(shown, v) {
			s.opts.Notify.Version(v)
		}
	}
	for _, c := range rv.candidates {
		if c.InUse && s.retryPrune.CompareAndSwap(false, true) {
			s.clock.AfterFunc(pruneAgain, func() {
				s.spawn(func() {
					s.retryPrune.Store(false)
					s.prune(r)
				})
			})
			return
		}
	}
}

// foretell reports what retention.dry_run keeps from being deleted, each version
// once.
func (s *Store) foretell(r *run, decisions []policy.Decision) {
	told := map[string]bool{}
	s.mu.Lock()
	before := r.foretold
	r.foretold = told
	dir := r.path
	s.mu.Unlock()
	for _, d := range decisions {
		if d.Action != policy.ActionDelete {
			continue
		}
		told[d.ID] = true
		if !before[d.ID] {
			s.event("would-prune", path.Join(dir, d.Name), strings.Join(d.Reasons, "; "))
		}
	}
}

// Decide says what a policy would keep and delete in the run at dir.
func (s *Store) Decide(dir string, r policy.Retention) ([]policy.Decision, error) {
	run := s.runAt(dir)
	if run == nil {
		return nil, fmt.Errorf("%s holds no checkpoints", dir)
	}
	s.compareAll()
	rv := s.candidates(run)
	return policy.Retain(rv.candidates, policy.Resolve(rv.candidates, s.policyOf(run)), r.On(s.diskSize()), s.clock.Now()), nil
}

// Delete moves the checkpoint at p into the trash, if it still is the version
// that was decided about, and nobody uses or saves it (P6).
func (s *Store) Delete(p, version, why string) error {
	rec := s.named(p)
	if rec == nil {
		return fmt.Errorf("%s is not a checkpoint", p)
	}
	s.compareRecord(rec)
	asOf := s.generation.Load()
	shown := s.protected(rec.run)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i, v := range rec.history {
		if v.ID == version {
			if v.views.Load() > 0 {
				return fmt.Errorf("an earlier version of %s is shown by a view", p)
			}
			if err := s.toTrash(v, why); err != nil {
				return err
			}
			s.change(rec, func() { rec.history = append(rec.history[:i:i], rec.history[i+1:]...) })
			s.pruned(rec, v, why)
			return nil
		}
	}
	v := rec.committed
	switch {
	case s.generation.Load() != asOf:
		return fmt.Errorf("%s changed while it was decided about", p)
	case v == nil || v.ID != version || v.rec != rec:
		return fmt.Errorf("%s is no longer what was decided about", p)
	case !rec.natural:
		return fmt.Errorf("%s was renamed aside, and its successor is not committed", p)
	case len(rec.saves) > 0:
		return fmt.Errorf("%s is being saved", p)
	case rec.readers.Load() > 0 || v.views.Load() > 0:
		return fmt.Errorf("%s is open", p)
	case slices.Contains(shown, v):
		return fmt.Errorf("a view resolves to %s", p)
	}
	if err := s.deleteRecord(rec, why); err != nil {
		return err
	}
	s.pruned(rec, v, why)
	s.opts.Notify.Entry(split(p))
	s.opts.Notify.Dir(dirOf(p))
	return nil
}

// pruned tells of a version that was deleted by a rule or a command.
func (s *Store) pruned(rec *record, v *Version, why string) {
	s.counters.Pruned.Add(1)
	s.log.Info("pruned", "checkpoint", rec.path(), "version", v.ID, "bytes", v.Size, "why", why)
	s.event("prune", rec.path(), why)
}
