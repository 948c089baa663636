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

// describe hashes the staged files and fills the manifest.
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
	for _, e := range v.tree {
		if !e.st.IsRegular() {
			continue
		}
		f := ManifestFile{
			Path: e.rel, Size: e.st.Size, MtimeNS: e.st.Mtime.Nano(), Ino: e.st.Ino, Format: formats[e.rel],
		}
		if f.XXH3, err = s.knownHash(sv, &f); err != nil {
			return nil, err
		}
		m.Size += f.Size
		m.Files = append(m.Files, f)
	}
	return m, nil
}

// knownHash takes the hash of an untouched file from the manifest of the version
// that the save began with, and reads the others.
func (s *Store) knownHash(sv *save, f *ManifestFile) (string, error) {
	if from := sv.origin(); from != nil && s.damageAt(from, f.Path) == nil {
		for _, b := range from.Files {
			if b.Path == f.Path && b.Ino == f.Ino && b.Size == f.Size && b.MtimeNS == f.MtimeNS && b.XXH3 != "" {
				return b.XXH3, nil
			}
		}
	}
	return s.hash(path.Join(sv.tree(), f.Path))
}
