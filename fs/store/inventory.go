package store

import "path"

// origin is the version that a save got its files from: its base, or the earlier
// one that it restores; nil for none.
func (sv *save) origin() *Version {
	if sv.restores != nil {
		return sv.restores.version
	}
	return sv.base
}

// inBase reports whether a file is one of the version that the save began with,
// synced long ago.
func (s *Store) inBase(sv *save, e treeEntry) bool {
	from := sv.origin()
	if from == nil || from.Adopted {
		return false
	}
	for _, f := range from.Files {
		if f.Path == e.rel {
			return f.Ino == e.st.Ino && f.Size == e.st.Size && f.MtimeNS == e.st.Mtime.Nano()
		}
	}
	return false
}

// describe fills the manifest. It hashes what is small; the rest is hashed when the
// commit is through (hashing.go).
func (s *Store) describe(sv *save, v *verdict) (*Manifest, error) {
	dir, err := s.disk.Stat(sv.tree())
	if err != nil {
		return nil, err
	}
	rec := s.lockOf(sv)
	m := &Manifest{
		Format: manifestFormat, ID: sv.id, Run: rec.run.path, Name: rec.name, Entry: rec.entry,
		Layout: rec.run.layout().Name, Kind: rec.match.Kind, Progress: v.report.Progress,
		Metrics: v.report.Metrics, BestName: v.report.BestName, CommittedAt: s.clock.Now(), DirIno: dir.Ino, Removed: sv.removal,
	}
	rec.mu.Unlock()
	formats := map[string]string{}
	for _, f := range v.report.Files {
		formats[f.Path] = f.Format
	}
	left := s.hashing.atOnce
	for _, e := range v.tree {
		if !e.st.IsRegular() {
			continue
		}
		f := ManifestFile{
			Path: e.rel, Size: e.st.Size, MtimeNS: e.st.Mtime.Nano(), Ino: e.st.Ino, Format: formats[e.rel],
		}
		f.XXH3 = s.knownHash(sv, &f)
		if f.XXH3 == "" && f.Size <= left {
			left -= f.Size
			if f.XXH3, err = s.hash(path.Join(sv.tree(), f.Path)); err != nil {
				return nil, err
			}
		}
		m.Size += f.Size
		m.Files = append(m.Files, f)
	}
	return m, nil
}

// knownHash takes the hash of an untouched file from the manifest of the version
// that the save began with; "" when it has none.
func (s *Store) knownHash(sv *save, f *ManifestFile) string {
	from := sv.origin()
	if from == nil || s.damageAt(from, f.Path) != nil {
		return ""
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, b := range from.Files {
		if b.Path == f.Path && b.Ino == f.Ino && b.Size == f.Size && b.MtimeNS == f.MtimeNS {
			return b.XXH3
		}
	}
	return ""
}
