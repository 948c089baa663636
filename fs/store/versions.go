package store

import "slices"

// VersionByID finds a version that is committed, in a history, or in the trash;
// nil when there is none.
func (s *Store) VersionByID(id string) *Version {
	if v := s.versionByID(id); v != nil && s.vouch(v) {
		return v
	}
	return nil
}

func (s *Store) versionByID(id string) *Version {
	s.mu.RLock()
	defer s.mu.RUnlock()
	is := func(v *Version) bool { return v != nil && v.ID == id }
	for _, r := range s.runs {
		for _, rec := range r.records {
			if is(rec.committed) {
				return rec.committed
			}
			if i := slices.IndexFunc(rec.history, is); i >= 0 {
				return rec.history[i]
			}
		}
	}
	for _, t := range s.trash {
		if is(t.version) && !t.going {
			return t.version
		}
	}
	return nil
}

// ManifestOf is what is known of a version now: its name and its hashes may have
// come to it after it was committed.
func (s *Store) ManifestOf(v *Version) Manifest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := v.Manifest
	m.Files = slices.Clone(m.Files)
	return m
}

// HashedManifest is the same for those who want to prove its files: what the commit
// has left to be hashed later is hashed first. Of what was found nobody knows what it
// should be.
func (s *Store) HashedManifest(v *Version) Manifest {
	if !v.Adopted {
		s.report("hash a checkpoint", s.hashVersion(v, nil))
	}
	return s.ManifestOf(v)
}

// Dir is where the tree of a version lies below the directory now, for those who
// open it and go by the descriptor from then on; "" once it is gone. In it lie the
// files of its manifest, and of one that lies in the run itself, others too.
func (v *Version) Dir() string { return v.where() }
