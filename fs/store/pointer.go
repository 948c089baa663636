package store

import (
	"path"

	"ckptfs/fs/store/proc"
	"ckptfs/layout"
)

// A pointer is a file of a run that names a checkpoint, for the trainer to resume
// from. Trainers write it when they think that the checkpoint is whole, some of
// them before that. It is saved as a checkpoint of one file is, and committed only
// after what it names: beneath the mount it never leads to something that is not
// there. The views know nothing of it.

// pointer reports whether the record is a pointer.
func (r *record) pointer() bool { return r.match.Kind == layout.Pointing }

// pointsAt is the checkpoint that a staged pointer names; nil when it names none,
// or something that is no checkpoint. missing says what the pointer waits for.
func (s *Store) pointsAt(rec *record, tree string) (target *record, missing string) {
	p, ok := rec.run.layout().Pointer(rec.name)
	if !ok {
		return nil, ""
	}
	content, err := s.readFile(path.Join(tree, rec.name), layout.MaxPointer)
	if err != nil {
		return nil, ""
	}
	name, ok := p.Target(content)
	if !ok {
		return nil, ""
	}
	to := path.Join(rec.run.path, name)
	if target = s.named(to); target == nil {
		_, _, known := s.match(rec.run.path, name, true)
		if _, err := s.disk.Stat(to); err == nil || !known {
			return nil, "" // it is there, or nobody can tell
		}
	} else {
		s.mu.RLock()
		committed := target.committed != nil
		s.mu.RUnlock()
		if committed {
			return target, ""
		}
	}
	return target, name + ", which it names, to be committed"
}

// leads tells the pointers of a run that something was committed that they may
// have waited for. Called without locks.
func (s *Store) leads(r *run) {
	for _, rec := range s.savingIn(r) {
		if !rec.pointer() {
			continue
		}
		rec.mu.Lock()
		if sv := rec.current(); sv != nil {
			s.schedule(sv, 0)
		}
		rec.mu.Unlock()
	}
}

// giveUpPointer drops a staged pointer whose checkpoint was given up: its writers
// have ended, and those of the checkpoint, which lacks something. Who reads it
// gets what it led to before. Called with the pointer's record locked, and the
// other's free.
func (s *Store) giveUpPointer(sv *save, target *record) bool {
	for _, w := range sv.writers {
		if w.End().Fate == proc.Alive {
			return false
		}
	}
	if target != nil {
		if !target.mu.TryRLock() {
			return false // it is at work; this one is asked again when it is done
		}
		other := target.current()
		hopeless := other != nil && !s.hasWriters(target) && !other.attended() && len(other.lacks()) > 0
		target.mu.RUnlock()
		if !hopeless {
			return false
		}
	}
	s.event("discard", sv.rec.path(), "what it names never became complete")
	s.drop(sv, "what it names never became complete")
	s.opts.Notify.Entry(sv.rec.run.path, sv.rec.name)
	return true
}
