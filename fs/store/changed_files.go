package store

import (
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// The files of a spread checkpoint are looked at one by one, where they lie in the
// run: there is no directory of theirs that others know. What is kept of them is
// of use as long as it fits.

// lookFiles compares what lies under the names of a spread checkpoint with what
// the catalog says.
func (s *Store) lookFiles(rec *record, happened news) {
	if happened != nothing && s.doubtedAlready(rec) {
		return
	}
	s.watchFiles(rec) // first, so that nothing changes between the look and the watch
	rec.mu.Lock()
	was := rec.committed
	if rec.dead {
		rec.mu.Unlock()
		return
	}
	if rec.committing() {
		s.lookLaterAt(rec.path(), recheck)
		rec.mu.Unlock()
		return
	}
	files, err := s.inRun(rec)
	switch {
	case err != nil:
		s.report("look for changes", err)
	case len(files) == 0 && rec.natural:
		s.vanishedFiles(rec)
	case len(files) == 0:
		s.bury(rec)
	case !rec.natural:
		s.doubtFiles(rec, files, "it appeared from outside")
	case !rec.doubted.IsZero(): // reverify goes on with it
	case happened == written:
		s.doubtFiles(rec, files, "it was written to from outside")
	default:
		if why := s.filesDiffer(rec, files); why != "" {
			s.doubtFiles(rec, files, "changed from outside: "+why)
		}
	}
	doubted, moved := !rec.doubted.IsZero(), rec.committed != was
	rec.mu.Unlock()
	if moved {
		s.viewsMoved(rec.run)
	}
	if doubted {
		s.reverifyFiles(rec)
	}
	if moved && was != nil {
		s.lookAtShared(rec, was)
	}
}

// inRun describes the files of a spread checkpoint that lie in the run. Needs
// rec.mu.
func (s *Store) inRun(rec *record) (map[string]disk.Stat, error) {
	list, err := s.liveFilesIn(rec, rec.run.path)
	if ignore(err, unix.ENOENT) != nil {
		return nil, err
	}
	files := map[string]disk.Stat{}
	for _, e := range list {
		st, err := s.disk.Stat(path.Join(rec.run.path, e.Name))
		if ignore(err, unix.ENOENT, unix.ENOTDIR) != nil {
			return nil, err
		}
		if err == nil && st.IsRegular() {
			files[e.Name] = st
		}
	}
	return files, nil
}

// watchFiles watches the files of a spread checkpoint as they lie there now.
func (s *Store) watchFiles(rec *record) {
	rec.mu.RLock()
	files, err := s.inRun(rec)
	run := rec.run.path
	rec.mu.RUnlock()
	if err != nil {
		return // said by whoever looks
	}
	for name := range files {
		s.watch(path.Join(run, name), true)
	}
}

// lookAtShared looks at the other checkpoints in the run that had an inode in
// common with a version that was changed from outside.
func (s *Store) lookAtShared(rec *record, was *Version) {
	inodes := map[uint64]bool{}
	for _, f := range was.Files {
		inodes[f.Ino] = true
	}
	for _, other := range s.recordsOf(rec.run) {
		other.mu.RLock()
		v, p := other.committed, other.path()
		shared := false
		if v != nil && other != rec {
			for _, f := range v.Files {
				shared = shared || inodes[f.Ino]
			}
		}
		other.mu.RUnlock()
		if shared {
			s.look(p, nothing)
		}
	}
}

// filesDiffer says how the files in the run differ from what was found there last,
// "" when not. Needs rec.mu.
func (s *Store) filesDiffer(rec *record, files map[string]disk.Stat) string {
	m := rec.judged
	if v := rec.committed; v != nil {
		s.mu.RLock()
		known := v.Manifest
		s.mu.RUnlock()
		m = &known
	}
	switch {
	case m == nil:
		return ""
	case rec.kept == "" || !s.shows(&kept{path: rec.kept, m: m}, files):
		return "other files have its names"
	}
	if err := s.matches(rec.kept, m); err != nil {
		return err.Error()
	}
	return ""
}

// doubtFiles is doubt of a spread checkpoint. What was kept of it is what it was
// before, if nobody wrote to that: then it goes to the trash. Needs rec.mu.
func (s *Store) doubtFiles(rec *record, files map[string]disk.Stat, why string) {
	v := rec.committed
	if v != nil {
		rec.suspect = s.damageOf(v)
	}
	s.letGo(rec, why)
	s.change(rec, func() { rec.natural = true })
	rec.doubted = s.clock.Now()
	s.change(rec, func() { rec.invalid = why + "; it is verified when it has been quiet" })
	for name := range files {
		s.opts.Notify.File(path.Join(rec.run.path, name))
		s.opts.Notify.Entry(rec.run.path, name)
	}
	s.opts.Notify.Dir(rec.run.path)
	if v == nil {
		return
	}
	s.log.Warn("changed outside", "checkpoint", rec.path(), "why", why)
	s.event("changed-outside", rec.path(), why)
	s.dropUnlike(rec)
}

// letGo ends what lies under the names of a spread checkpoint being what is kept
// of it. Needs rec.mu.
func (s *Store) letGo(rec *record, why string) {
	v, at := rec.committed, rec.kept
	s.change(rec, func() {
		rec.natural, rec.committed, rec.judged, rec.kept, rec.invalid = false, nil, nil, "", ""
	})
	rec.doubted = time.Time{}
	whole := v != nil && s.matches(at, &v.Manifest) == nil
	if whole {
		s.report("keep what was replaced from outside", s.toTrash(v, why))
	} else if at != "" {
		s.report("forget what was changed from outside", s.removeAll("outside:files", at))
	}
	for _, sv := range rec.saves {
		if v != nil && sv.base == v {
			sv.base = nil
		}
	}
	if v != nil && !whole {
		s.disown(rec, v)
	}
}

// vanishedFiles is vanished of a spread checkpoint. Needs rec.mu.
func (s *Store) vanishedFiles(rec *record) {
	const why = "its files were removed from outside"
	s.log.Warn("gone", "checkpoint", rec.path(), "why", why)
	s.event("vanished", rec.path(), why)
	names := []string{rec.name}
	if rec.judged != nil {
		names = nil
		for _, f := range rec.judged.Files {
			names = append(names, f.Path)
		}
	}
	s.letGo(rec, why)
	if len(rec.saves) == 0 {
		s.report("put the history of a checkpoint in the trash", s.forsake(rec, why))
	}
	for _, name := range names {
		s.opts.Outside.Unwatch(path.Join(rec.run.path, name))
		s.opts.Notify.Entry(rec.run.path, name)
	}
	s.opts.Notify.Dir(rec.run.path)
}

// reverifyFiles adopts a spread checkpoint that was changed from outside, once it
// is quiet and nobody can write to it.
func (s *Store) reverifyFiles(rec *record) {
	rec.mu.RLock()
	since, p, run := rec.doubted, rec.path(), rec.run.path
	files, err := s.inRun(rec)
	rec.mu.RUnlock()
	if since.IsZero() || err != nil {
		return
	}
	quiet := s.cfg.Save.Settle
	if !rec.single() && !rec.run.layout().Requires(rec.match.Type) {
		quiet = patience
	}
	if left := quiet - s.clock.Now().Sub(since); left > 0 {
		s.lookLaterAt(p, left)
		return
	}
	s.watchFiles(rec)
	for name, st := range files {
		if s.writable(run, []treeEntry{{name, st}}, func(string) bool { return false }) != "" {
			s.lookLaterAt(p, recheck)
			return
		}
	}
	rec.mu.Lock()
	if rec.dead || rec.path() != p || rec.doubted != since || rec.committed != nil || !rec.natural || rec.committing() {
		rec.mu.Unlock()
		return
	}
	suspect := rec.suspect
	m, why := s.inspectFiles(rec)
	m.inherit(suspect)
	now, err := s.inRun(rec)
	if err != nil || why == "" && !s.shows(&kept{path: rec.kept, m: m}, now) {
		s.letGo(rec, "")
		s.change(rec, func() { rec.natural = true })
		rec.doubted = s.clock.Now()
		s.lookLaterAt(p, quiet)
		rec.mu.Unlock()
		return
	}
	if why == "" {
		s.report("write the manifest of an adopted checkpoint", s.writeManifest("adopt", m))
	}
	rec.doubted = time.Time{}
	v := s.entered(rec, m, why)
	rec.mu.Unlock()
	s.viewsMoved(rec.run)
	if v != nil {
		s.event("adopt", p, fmt.Sprintf("%s, %d files, %d bytes", m.Progress, len(m.Files), m.Size))
		s.spawn(func() { s.lookThrough(v) })
	}
}
