package store

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
)

// buildCatalog finds every run and checkpoint on the disk, and matches them with
// the manifests that were written about them. What has no manifest, or no
// longer looks like it, is judged by its files (adoption).
func (s *Store) buildCatalog() error {
	if err := s.loadPins(); err != nil {
		return err
	}
	manifests := s.loadManifests()
	s.checkpointRun("")
	byDir := byDirectory(manifests)
	found, err := s.scan("", byDir)
	if err != nil {
		return err
	}
	files, err := s.loadFiles(byDir)
	if err != nil {
		return err
	}
	inParallel(found, func(f foundName) {
		if f.rec.spread() {
			s.adoptFiles(f.rec, f.files, files)
		} else {
			s.adopt(f.rec, &f.st, byDir[f.st.Ino])
		}
	})
	s.findMoved(manifests)
	if err := s.loadHistory(manifests); err != nil {
		return err
	}
	if err := s.loadTrash(manifests); err != nil {
		return err
	}
	if err := s.forsakeFiles(files); err != nil {
		return err
	}
	return s.loadQuarantine()
}

// inParallel calls f for every item, as many at a time as there are processors,
// and returns when all is done.
func inParallel[T any](items []T, f func(T)) {
	var workers sync.WaitGroup
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(items)); i = next.Add(1) - 1 {
				f(items[i])
			}
		})
	}
	workers.Wait()
}

// checkpointRun makes sure that there is a run at dir.
func (s *Store) checkpointRun(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[dir] == nil {
		s.runs[dir] = newRun(dir)
	}
}

// byDirectory finds manifests by the inode of the directory that they are about.
func byDirectory(manifests map[string]*Manifest) map[uint64][]*Manifest {
	out := make(map[uint64][]*Manifest, len(manifests))
	for _, m := range manifests {
		out[m.DirIno] = append(out[m.DirIno], m)
	}
	return out
}

// foundName is a directory of a checkpoint's name, or the files of a spread one.
type foundName struct {
	rec   *record
	st    disk.Stat
	files map[string]disk.Stat
}

// scan looks for checkpoints in dir and below, on other file systems and in btrfs
// subvolumes too. What is foreign: a mountpoint of a checkpoint's name, a
// mountpoint that another ckptfs works on, and what lies behind a symbolic link.
// A link may be another name of a checkpoint. Checkpoints that manifests tell of,
// by their inodes, are found wherever they were moved.
func (s *Store) scan(dir string, manifests map[uint64][]*Manifest) (found []foundName, err error) {
	list, err := s.disk.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b disk.Entry) int { return cmp.Compare(a.Name, b.Name) })
	s.recogniseRun(dir, list)
	stats := map[string]disk.Stat{}
	if described, err := s.disk.Describe(dir); err == nil { // else one of them is to blame
		for _, e := range described {
			stats[e.Name] = e.Stat
		}
	}
	spread := map[*record]int{} // where it is in found
	var plain []string
	for _, e := range list {
		p := path.Join(dir, e.Name)
		if p == Private {
			continue
		}
		st, known := stats[e.Name]
		var err error
		if !known {
			st, err = s.disk.Stat(p)
		}
		if err == nil && st.IsSymlink() {
			s.noteAlias(p)
		}
		if unread(err) {
			s.unseen.Store(true)
		}
		if err == nil && st.IsRegular() {
			if rec := s.checkpoint(dir, e.Name, false); rec != nil {
				at, known := spread[rec]
				if !known {
					at, found = len(found), append(found, foundName{rec: rec, files: map[string]disk.Stat{}})
					spread[rec] = at
				}
				found[at].files[e.Name] = st
			}
		}
		if err != nil || !st.IsDir() || st.Mounted && s.foreign(dir, e.Name) {
			continue
		}
		if rec := s.checkpoint(dir, e.Name, true); rec != nil {
			found = append(found, foundName{rec: rec, st: st})
			continue
		}
		if s.ignored(dir, e.Name) && !s.holdsOurs(p, manifests) {
			continue
		}
		plain = append(plain, p)
	}
	return append(found, s.scanAll(plain, manifests)...), nil
}

// scanAll scans directories side by side: what takes long is to recognise runs by
// what their checkpoints hold.
func (s *Store) scanAll(dirs []string, manifests map[uint64][]*Manifest) []foundName {
	var mu sync.Mutex
	var all []foundName
	inParallel(dirs, func(dir string) {
		found, err := s.scan(dir, manifests)
		if err != nil {
			s.unseen.Store(true)
			s.log.Warn("cannot look into a directory; checkpoints in it are not known", "dir", dir, "err", err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, found...)
	})
	return all
}

// foreign reports whether what is mounted in dir is none of ours.
func (s *Store) foreign(dir, name string) bool {
	_, _, checkpoint := s.match(dir, name, true)
	_, err := s.disk.Stat(path.Join(dir, name, Private))
	return checkpoint || err == nil
}

// holdsOurs reports whether a directory has a checkpoint in it that was committed:
// then it is a run, whatever it is called now.
func (s *Store) holdsOurs(dir string, manifests map[uint64][]*Manifest) bool {
	list, err := s.disk.ReadDir(dir)
	if unread(err) {
		s.unseen.Store(true)
	}
	return err == nil && slices.ContainsFunc(list, func(e disk.Entry) bool { return len(manifests[e.Ino]) > 0 })
}

func (s *Store) ignored(dir, name string) bool {
	r := s.runAt(dir)
	return r != nil && r.layout() != nil && r.layout().Ignored(name)
}

// adopt enters what lies under a natural name: the version that a manifest
// describes, or what a look at the files makes of it. manifests are those of a
// directory with its inode number. A mount looks at the files later (compare.go).
func (s *Store) adopt(rec *record, st *disk.Stat, manifests []*Manifest) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if m := rec.plainly(manifests); s.lazy && m != nil {
		s.unchecked.Add(1)
		s.entered(rec, m, "").unchecked.Store(true)
		return
	}
	s.adoptAnew(rec, st, manifests)
}

// adoptAnew does so by a look at every file. Needs rec.mu.
func (s *Store) adoptAnew(rec *record, st *disk.Stat, manifests []*Manifest) {
	if m := s.known(rec, manifests); m != nil {
		s.entered(rec, m, m.Removed)
		return
	}
	m, why := s.inspectNatural(rec, rec.home(), st)
	for _, was := range manifests {
		if rec.stoodFor(was) { // still, whatever has become of its files
			m.Name, m.Kind = was.Name, was.Kind
		}
		m.inherit(was.Damage)
	}
	if why == "" && !s.readOnly {
		s.report("write the manifest of an adopted checkpoint", s.putManifest("adopt", m, false))
	}
	s.entered(rec, m, why)
}

// entered makes what lies under a natural name the committed version of its
// record, or says why it is none. Needs rec.mu.
func (s *Store) entered(rec *record, m *Manifest, why string) *Version {
	var v *Version
	rec.suspect = nil
	if why == "" {
		v = &Version{Manifest: *m, rec: rec, path: rec.home()}
		if damage := damageWords(m.Damage); damage != "" {
			s.event("invalid", rec.path(), damage)
		}
	} else {
		s.event("invalid", rec.path(), why)
	}
	s.change(rec, func() {
		rec.natural, rec.invalid, rec.judged = true, why, m
		rec.committed = v
	})
	return v
}

// known finds the manifest of a directory, and believes it as long as every file
// is the inode, size and time that it says.
func (s *Store) known(rec *record, manifests []*Manifest) *Manifest {
	for _, m := range manifests {
		if err := s.matches(rec.home(), m); err != nil {
			s.log.Warn("changed outside: the checkpoint is verified again", "checkpoint", rec.path(), "what", err)
			continue
		}
		found := *m
		found.Run = rec.run.path
		if !rec.stoodFor(m) {
			found.Name, found.Kind = rec.name, rec.match.Kind
		}
		return &found
	}
	return nil
}

// stoodFor reports whether the directory of a manifest, which has the name of rec,
// was renamed aside and stands for the name that the manifest says: heal decides,
// also in a run that was moved while nothing was mounted.
func (rec *record) stoodFor(m *Manifest) bool {
	return m.Name != rec.name && rec.match.Kind == layout.Backup && rec.match.Of == m.Name
}

// matches compares a directory with its manifest by inode, size and time.
func (s *Store) matches(dir string, m *Manifest) error {
	tree, err := s.walk(dir)
	if err != nil {
		return err
	}
	known := make(map[string]*ManifestFile, len(m.Files))
	for i := range m.Files {
		known[m.Files[i].Path] = &m.Files[i]
	}
	files := 0
	for _, e := range tree {
		if !e.st.IsRegular() {
			continue
		}
		files++
		f := known[e.rel]
		if f == nil {
			return fmt.Errorf("%s is new", e.rel)
		}
		if f.Ino != e.st.Ino || f.Size != e.st.Size || f.MtimeNS != e.st.Mtime.Nano() {
			return fmt.Errorf("%s is another one", e.rel)
		}
	}
	if files != len(known) {
		return fmt.Errorf("%d of %d files are left", files, len(known))
	}
	return nil
}

// inspectNatural judges what lies at a natural path by its files. The manifest
// that it makes has no hashes yet; why says what keeps it from being a version.
func (s *Store) inspectNatural(rec *record, p string, st *disk.Stat) (m *Manifest, why string) {
	return s.inspectIn(rec, p, st, s.disk.Sub(p))
}

// newManifest begins the manifest of what was found in the directory with an inode.
func (s *Store) newManifest(rec *record, ino uint64) *Manifest {
	return &Manifest{
		Format: manifestFormat, ID: s.newID(), Run: s.pathOf(rec.run), Name: rec.name, Entry: rec.entry,
		Layout: rec.run.layout().Name, Kind: rec.match.Kind, Adopted: true, DirIno: ino,
	}
}

// inspectIn does so for what is seen of a directory.
func (s *Store) inspectIn(rec *record, p string, st *disk.Stat, seen fs.FS) (m *Manifest, why string) {
	m = s.newManifest(rec, st.Ino)
	report, err := rec.run.layout().Inspect(seen, rec.match)
	if err != nil {
		return m, err.Error()
	}
	if what := s.marked(rec); what != "" {
		report.Missing = append(report.Missing, what)
	}
	m.Progress, m.Metrics, m.BestName = report.Progress, report.Metrics, report.BestName
	newest := st.Mtime.Nano()
	for _, f := range report.Files {
		fst, err := s.disk.Stat(path.Join(p, f.Path))
		if err != nil {
			return m, err.Error()
		}
		newest = max(newest, fst.Mtime.Nano())
		m.Size += fst.Size
		m.Files = append(m.Files, ManifestFile{
			Path: f.Path, Size: fst.Size, MtimeNS: fst.Mtime.Nano(), Ino: fst.Ino, Format: f.Format,
		})
	}
	m.CommittedAt = time.Unix(0, newest)
	if report.Valid() {
		return m, ""
	}
	words := make([]string, 0, len(report.Missing)+len(report.Problems))
	for _, missing := range report.Missing {
		words = append(words, missing+" is missing")
	}
	return m, Words(append(words, report.Problems...))
}

// loadHistory enters the earlier versions, newest first. One without a manifest
// has no name any more; it is left where it is and shown by nothing.
func (s *Store) loadHistory(manifests map[string]*Manifest) error {
	list, err := s.disk.ReadDir(historyDir)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		m := manifests[e.Name]
		if m == nil {
			s.log.Warn("an earlier version has no manifest: its name is not known", "version", e.Name)
			continue
		}
		run := s.runNow(m.Run)
		switch there, err := s.isDir(run); {
		case err != nil:
			return err
		case !there:
			s.log.Warn("an earlier version is of a run that is not there", "version", e.Name, "run", run)
			continue
		}
		rec := s.recorded(run, m.Name, m.Entry)
		if rec == nil {
			continue
		}
		v := &Version{Manifest: *m, rec: rec, path: path.Join(historyDir, e.Name)}
		v.Run, v.Kind = run, rec.match.Kind
		v.left.Store(s.clock.Now().UnixNano())
		rec.mu.Lock()
		if c := rec.committed; c != nil && c.ID == v.ID {
			rec.mu.Unlock()
			continue // its files have their names still
		}
		s.change(rec, func() {
			rec.history = append(rec.history, v)
			slices.SortFunc(rec.history, func(a, b *Version) int { return b.CommittedAt.Compare(a.CommittedAt) })
		})
		rec.mu.Unlock()
	}
	return nil
}
