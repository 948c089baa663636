package store

import (
	"path"
	"slices"
	"strings"
	"time"

	"ckptfs/layout"
	"ckptfs/policy"
)

// hints are what the user may want to change about a run, with so many bytes free.
func (s *Store) hints(r *run, cfg policy.Config, rv *runViews, free int64) []string {
	hints := []string{}
	for _, name := range []string{cfg.Views.Latest, cfg.Views.Resume, cfg.Views.Best} {
		if res := s.resolution(rv, name); name != "" && res.Target >= 0 && r.owns(name) {
			hints = append(hints, "the name "+name+" is that of an entry of "+r.layoutName()+"; the view is at @"+name)
		}
	}
	saves, gaps := s.savesOf(r, cfg)
	hints = append(hints, policy.Hints(policy.Facts{
		Path: s.commandPath(r), Checkpoints: rv.candidates, Views: rv.views, Retention: cfg.Retention,
		Saves: saves, Gaps: gaps, Free: free, Bare: s.bare(r, rv),
	})...)
	hints = append(hints, s.damageHints(r)...)
	if hint := s.shortHint(r); hint != "" {
		hints = append(hints, hint)
	}
	return hints
}

// resolution is what the view of a name resolves to.
func (s *Store) resolution(rv *runViews, name string) policy.Resolution {
	switch name {
	case s.cfg.Views.Latest:
		return rv.views.Latest
	case s.cfg.Views.Resume:
		return rv.views.Resume
	}
	return rv.views.Best
}

// commandPath is a run as a command in a shell names it.
func (s *Store) commandPath(r *run) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := path.Join(s.opts.Known, r.path)
	if strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%") == "" {
		return p
	}
	return "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
}

// rememberedSaves is how many saves of a run are enough to know its rhythm.
const rememberedSaves = 64

// rememberSave remembers what a commit tells of a run's rhythm, also when the
// checkpoint is gone again.
func (s *Store) rememberSave(r *run, m *Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.saved = append(r.saved, saveOf(m))
	r.saved = r.saved[max(0, len(r.saved)-rememberedSaves):]
}

// savesOf lists the saves of a run that are known: those of this mount, or while
// these are few what lies on the disk. gaps says that there may have been others
// in between, which retention has deleted.
func (s *Store) savesOf(r *run, cfg policy.Config) (saves []policy.Save, gaps bool) {
	const few = 4
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(r.saved) >= few {
		return slices.Clone(r.saved), false
	}
	add := func(v *Version) {
		if v != nil && v.Kind != layout.Pointing {
			saves = append(saves, saveOf(&v.Manifest))
		}
	}
	for _, rec := range r.records {
		add(rec.committed)
		for _, v := range rec.history {
			add(v)
		}
	}
	for _, t := range s.trash {
		if t.Run == r.path {
			add(t.version)
		}
	}
	return saves, cfg.Retention.Deletes()
}

// saveOf is what a manifest tells of the save that it comes from. It began when
// the save was opened, and for what was found on the disk when the first file was
// written; it ended for the trainer with the last one.
func saveOf(m *Manifest) policy.Save {
	save := policy.Save{Name: m.Name, Progress: m.Progress, Size: m.Size, Ended: m.CommittedAt}
	if len(m.Files) == 0 {
		return save
	}
	byTime := func(a, b ManifestFile) int { return int(min(1, max(-1, a.MtimeNS-b.MtimeNS))) }
	first, last := slices.MinFunc(m.Files, byTime), slices.MaxFunc(m.Files, byTime)
	save.Ended = time.Unix(0, last.MtimeNS)
	if m.Adopted && len(m.Files) > 1 {
		save.Began = time.Unix(0, first.MtimeNS)
	}
	if opened, err := time.Parse(idTime, m.ID[:min(len(m.ID), len(idTime))]); err == nil && !m.Adopted {
		save.Began = opened
	}
	return save
}

// bare lists what training would be resumed from without the state of an
// optimizer: what resume/ and latest/ lead to, where their files tell.
func (s *Store) bare(r *run, rv *runViews) (names []string) {
	for _, i := range []int{rv.views.Resume.Target, rv.views.Latest.Target} {
		v := rv.version(i)
		if v == nil || slices.Contains(names, v.Name) {
			continue
		}
		without, known := s.withoutOptimizer.Load(v.ID)
		if !known {
			without = s.lacksOptimizer(r, v)
			s.withoutOptimizer.Store(v.ID, without)
		}
		if without.(bool) {
			names = append(names, rv.candidates[i].Name)
		}
	}
	return names
}

// lacksOptimizer looks into the files of a version. What cannot be read now has
// nothing said of it.
func (s *Store) lacksOptimizer(r *run, v *Version) (lacks bool) {
	l := r.layout()
	if l == nil {
		return false
	}
	err := v.location(func(dir string) error {
		fsys := s.disk.Sub(dir)
		rep, err := l.Inspect(fsys, layout.Match{Kind: v.Kind})
		if err != nil {
			return err
		}
		contents, err := layout.Contents(fsys, rep.Files)
		lacks = err == nil && layout.Without(layout.Optimizer, rep.Files, contents)
		return err
	})
	return err == nil && lacks
}
