package store

import (
	"errors"
	"path"
)

// hashAdopted reads, one after the other, the checkpoints that were found
// without a manifest, and writes down the hashes of their files, so that they
// can be verified later like those that were saved through the mount.
func (s *Store) hashAdopted() {
	for _, rec := range s.allRecords() {
		rec.mu.RLock()
		v := rec.committed
		rec.mu.RUnlock()
		if v == nil || !v.Adopted {
			continue
		}
		select {
		case <-s.stop:
			return
		default:
		}
		s.report("hash an adopted checkpoint", s.hashVersion(v))
	}
}

// lookThrough reads a checkpoint that was adopted anew because somebody has
// changed it.
func (s *Store) lookThrough(v *Version) {
	if s.changedSince(v) {
		s.recheck(v)
	}
	s.report("hash an adopted checkpoint", s.hashVersion(v))
}

// hashVersion fills in the hashes of a version as long as its files are the ones
// that the manifest describes.
func (s *Store) hashVersion(v *Version) error {
	s.mu.RLock()
	m := v.Manifest
	files := append([]ManifestFile(nil), m.Files...)
	s.mu.RUnlock()
	missing := false
	for i, f := range files {
		if f.XXH3 != "" || s.damageAt(v, f.Path) != nil {
			continue
		}
		missing = true
		sum, err := s.hashUntilStopped(path.Join(v.where(), f.Path))
		if isGone(err) || errors.Is(err, errStopped) {
			return nil // deleted or replaced meanwhile, or for the next mount to do
		}
		if err != nil {
			return err
		}
		files[i].XXH3 = sum
	}
	m.Files = files
	if !missing || s.matches(v.where(), &m) != nil {
		return nil
	}
	s.mu.Lock()
	v.Files = files
	s.mu.Unlock()
	return s.rewriteManifest("adopt:hash", v, false)
}
