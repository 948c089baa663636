package store

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
)

// Which trainer writes into a run is found out once. Its first name decides,
// until what a checkpoint holds says better: the names of one trainer are
// another's too. What is proved, or named by the configuration, stays.

func newRun(dir string) *run {
	return &run{path: dir, records: map[string]*record{}, saving: map[*record]bool{}}
}

// layout is that of the run, nil while nothing is known of it.
func (r *run) layout() *layout.Layout { return r.fits.Load() }

// whyOf says how the layout of a run was found.
func (s *Store) whyOf(r *run) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return r.why
}

// recogniseMost is how many entries of a run are looked at to find its layout.
const recogniseMost = 256

// recogniseRun finds the layout of a directory that lies on the disk, by its
// entries, before any of them is entered as a checkpoint.
func (s *Store) recogniseRun(dir string, list []disk.Entry) {
	if r := s.runAt(dir); r != nil && r.layout() != nil || s.inTemporary(path.Join(dir, "x")) {
		return
	}
	var seen []layout.Seen
	for i := 0; i < len(list); i += 1 + len(list)/recogniseMost {
		e, p := list[i], path.Join(dir, list[i].Name)
		if p == Private {
			continue
		}
		one := layout.Seen{Name: e.Name, IsDir: e.Type == unix.S_IFDIR, Look: func() fs.FS { return s.disk.Sub(p) }}
		if e.Type == unix.S_IFREG {
			one.Look = func() fs.FS { return only{s.disk.Sub(dir), []string{e.Name}} }
		}
		seen = append(seen, one)
	}
	found := layout.Detect(s.layouts, seen)
	if found.Layout == nil || !slices.ContainsFunc(seen, func(e layout.Seen) bool {
		m, ok := found.Layout.Match(e.Name, e.IsDir)
		return ok && m.Checkpoint()
	}) {
		return
	}
	s.settleLayout(dir, found.Layout, found.Why)
	if found.Proved {
		s.runAt(dir).told.Store(found.Told)
		s.runAt(dir).guessed.Store(false)
	}
}

// settleLayout gives a run that has none, or one that was guessed, a layout.
func (s *Store) settleLayout(dir string, l *layout.Layout, why string) {
	s.mu.Lock()
	r := s.runs[dir]
	if r == nil {
		r = newRun(dir)
		s.runs[dir] = r
	}
	before := r.layout()
	if before == nil {
		r.fits.Store(l)
		r.why = s.whyLayout(l, why)
		r.guessed.Store(len(s.layouts) > 1)
		r.stale.all = true
	}
	s.mu.Unlock()
	if before != nil && before != l && r.guessed.Load() {
		s.relayout(r, l, why)
	}
}

func (s *Store) whyLayout(l *layout.Layout, why string) string {
	if s.cfg.Layout == l.Name {
		return "the configuration says so"
	}
	return why
}

// covering lists the layouts that know every name of a run as a checkpoint's.
func (s *Store) covering(r *run) []*layout.Layout {
	var out []*layout.Layout
	for _, l := range s.layouts {
		if !slices.ContainsFunc(s.recordsOf(r), func(rec *record) bool { return !knows(l, rec) }) {
			out = append(out, l)
		}
	}
	return out
}

func knows(l *layout.Layout, rec *record) bool {
	m, ok := rec.as(l)
	return ok && m.Saved()
}

// as is what a layout says of the record, whose files are the same by it.
func (rec *record) as(l *layout.Layout) (layout.Match, bool) {
	name := rec.name
	if rec.spread() {
		name = rec.entry
	}
	m, ok := l.Match(name, !rec.spread())
	return m, ok && keyOf(m) == keyOf(rec.match)
}

// recognise looks at what a save holds, in the staged tree, as long as the layout
// of its run is a guess; and for what only one trainer writes as long as nothing
// of that was seen: the checkpoints of others may be as whole before its last
// file. Called without locks.
func (s *Store) recognise(rec *record, tree string) {
	r := rec.run
	if r.told.Load() || !r.guessed.Load() && !s.maybeOf(rec) {
		return
	}
	found := layout.Detect(s.covering(r), []layout.Seen{
		{Name: cmp.Or(rec.entry, rec.name), IsDir: !rec.spread(), Look: func() fs.FS { return s.disk.Sub(tree) }},
	})
	if !found.Told && !(found.Proved && r.guessed.Load()) {
		return
	}
	s.relayout(r, found.Layout, found.Why)
	r.told.Store(found.Told)
	r.guessed.Store(false)
}

// maybeOf reports whether a checkpoint may turn out to be of another trainer than
// that of its run, by what only that one writes.
func (s *Store) maybeOf(rec *record) bool {
	return slices.ContainsFunc(s.layouts, func(l *layout.Layout) bool {
		return l != rec.run.layout() && l.Tells() && knows(l, rec)
	})
}

// relayout gives a run another layout, and its checkpoints what their names say
// by that one. Called without locks.
func (s *Store) relayout(r *run, l *layout.Layout, why string) {
	for {
		records := s.recordsOf(r)
		slices.SortFunc(records, func(a, b *record) int { return strings.Compare(keyOf(a.match), keyOf(b.match)) })
		for _, rec := range records {
			rec.mu.Lock()
		}
		s.mu.Lock()
		same := len(records) == len(r.records) && !slices.ContainsFunc(records, func(rec *record) bool { return r.records[keyOf(rec.match)] != rec })
		if same {
			for _, rec := range records {
				if m, ok := rec.as(l); ok {
					rec.match = m
				}
			}
			r.fits.Store(l)
			r.why = s.whyLayout(l, why)
			r.stale.all = true
			s.unresolved(r)
		}
		s.mu.Unlock()
		for _, rec := range records {
			rec.mu.Unlock()
		}
		if same {
			return
		}
	}
}

// only is a directory of which some files are seen.
type only struct {
	fs.FS
	names []string
}

// Open implements fs.FS.
func (o only) Open(name string) (fs.File, error) {
	if name == "." || slices.Contains(o.names, name) {
		return o.FS.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements fs.ReadDirFS.
func (o only) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var list []fs.DirEntry
	for _, name := range o.names {
		info, err := fs.Stat(o.FS, name)
		if err != nil {
			return nil, err
		}
		list = append(list, fs.FileInfoToDirEntry(info))
	}
	return list, nil
}
