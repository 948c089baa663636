package store

import (
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// What a mount finds of spread checkpoints is in two places: files in the run, and
// directories that keep them together. Those that fit are a version, as it was
// left. Files that nothing fits were put there by somebody else: they are gathered
// and judged, as a directory is that has no manifest. A directory that nothing
// fits is what was under names that were removed, or given to others, while
// nothing was mounted.

// kept is a directory that keeps files of a spread checkpoint together.
type kept struct {
	path    string
	m       *Manifest
	claimed bool // guarded by keptFiles.mu
}

// keptFiles are those that a mount finds.
type keptFiles struct {
	mu     sync.Mutex
	byIno  map[uint64][]*kept // by the inodes of their files
	byName map[string]*kept   // by natural path
	list   []*kept            // without those of the history and the trash
}

// loadFiles reads what is kept together of spread checkpoints. What has no
// manifest that describes it only has second names of what lies in a run.
func (s *Store) loadFiles(manifests map[uint64][]*Manifest) (*keptFiles, error) {
	all := &keptFiles{byIno: map[uint64][]*kept{}, byName: map[string]*kept{}}
	for _, dir := range []string{filesDir, historyDir, trashDir} {
		list, err := s.disk.ReadDir(dir)
		if ignore(err, unix.ENOENT) != nil {
			return nil, err
		}
		for _, e := range list {
			k := &kept{path: path.Join(dir, e.Name)}
			st, err := s.disk.Stat(k.path)
			if err != nil {
				return nil, err
			}
			if !st.IsDir() {
				continue // a note
			}
			all.add(k, s.describing(k.path, manifests[st.Ino]))
		}
	}
	return all, nil
}

// describing finds the manifest of a spread version that a directory still fits.
func (s *Store) describing(dir string, manifests []*Manifest) *Manifest {
	for _, m := range manifests {
		if m.Entry != "" && s.matches(dir, m) == nil {
			return m
		}
	}
	return nil
}

func (all *keptFiles) add(k *kept, m *Manifest) {
	k.m = m
	earlier := dirOf(k.path) != filesDir
	if !earlier {
		all.list = append(all.list, k)
	}
	if m == nil {
		return
	}
	if !earlier {
		all.byName[path.Join(m.Run, m.Name)] = k
	}
	for _, f := range m.Files {
		all.byIno[f.Ino] = append(all.byIno[f.Ino], k)
	}
}

// claim finds what fits the files of a record, and gives it to nobody else.
func (all *keptFiles) claim(s *Store, rec *record, files map[string]disk.Stat) *kept {
	all.mu.Lock()
	defer all.mu.Unlock()
	candidates := []*kept{all.byName[rec.path()]}
	for _, st := range files { // the run was moved while nothing was mounted, say
		candidates = append(candidates, all.byIno[st.Ino]...)
	}
	for _, k := range candidates {
		if k != nil && !k.claimed && s.shows(k, files) {
			k.claimed = true
			return k
		}
	}
	return nil
}

// shows reports whether files in a run are those that are kept.
func (s *Store) shows(k *kept, files map[string]disk.Stat) bool {
	if k.m == nil || len(files) != len(k.m.Files) {
		return false
	}
	for _, f := range k.m.Files {
		shown, there := files[f.Path]
		st, err := s.disk.Stat(path.Join(k.path, f.Path))
		if !there || err != nil || !s.sameFile(&st, &shown) {
			return false
		}
	}
	return true
}

// adoptFiles enters the files in a run that are a spread checkpoint: the version
// that is kept, or what a look at them makes of it.
func (s *Store) adoptFiles(rec *record, files map[string]disk.Stat, all *keptFiles) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if k := all.claim(s, rec, files); k != nil && s.stays(k) {
		found := *k.m
		found.Run, found.Name, found.Kind = rec.run.path, rec.name, rec.match.Kind
		s.change(rec, func() { rec.kept = k.path })
		s.entered(rec, &found, found.Removed)
		return
	}
	m, why := s.inspectFiles(rec)
	if why == "" && !s.readOnly {
		s.report("write the manifest of an adopted checkpoint", s.putManifest("adopt", m, false))
	}
	s.entered(rec, m, why)
}

// stays brings a version back from the history, or from the trash, whose files have
// their names in the run still: the commit or the delete that was to take them came
// to nothing.
func (s *Store) stays(k *kept) bool {
	if dirOf(k.path) == filesDir || s.readOnly {
		return true
	}
	to := path.Join(filesDir, s.newID())
	if err := s.moveVersion("recover:heal", nil, k.path, to); err != nil {
		s.report("bring back a version whose files have their names still", err)
		return false
	}
	k.path = to
	return true
}

// inspectFiles gathers the files of a spread checkpoint in its run and judges
// them. Needs rec.mu.
func (s *Store) inspectFiles(rec *record) (m *Manifest, why string) {
	s.change(rec, func() { rec.natural = true })
	if s.readOnly {
		list, err := s.liveFiles(rec)
		if err != nil {
			return s.newManifest(rec, 0), err.Error()
		}
		seen := only{FS: s.disk.Sub(rec.run.path)}
		for _, e := range list {
			seen.names = append(seen.names, e.Name)
		}
		return s.inspectIn(rec, rec.run.path, &disk.Stat{}, seen)
	}
	if err := s.keepTogether(rec); err != nil {
		return s.newManifest(rec, 0), err.Error()
	}
	st, err := s.disk.Stat(rec.kept)
	if err != nil {
		return s.newManifest(rec, 0), err.Error()
	}
	st.Mtime = disk.Stat{}.Mtime // it was made just now, and says nothing of the files
	return s.inspectNatural(rec, rec.kept, &st)
}

// forsakeFiles puts in the trash what was kept under names that are no more, with
// its history: somebody removed or replaced them while nothing was mounted.
func (s *Store) forsakeFiles(all *keptFiles) error {
	for _, k := range all.list {
		switch {
		case k.claimed || s.readOnly:
		case k.m == nil:
			if err := s.removeAll("recover:files", k.path); err != nil {
				return err
			}
		default:
			if err := s.forsakeKept(k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) forsakeKept(k *kept) error {
	const why = "its files were removed or replaced while nothing was mounted"
	v := &Version{Manifest: *k.m, path: k.path}
	if k.m.Removed != "" {
		v = nil
	}
	if err := s.moveVersion("recover:files", v, k.path, path.Join(trashDir, k.m.ID)); err != nil {
		return err
	}
	s.noteTrash(k.m.ID, k.m.Run, k.m.Name, why, v)
	rec := s.recorded(k.m.Run, k.m.Name, k.m.Entry)
	if rec == nil {
		return nil
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.natural {
		return nil
	}
	return s.forsake(rec, why)
}
