package store

import (
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ckptfs/layout"
	"ckptfs/policy"
)

// run is a directory that holds the checkpoints of one training run. The root
// is always one; any other directory becomes one when a checkpoint appears in it.
type run struct {
	path    string                        // relative to the backing directory; guarded by Store.mu
	fits    atomic.Pointer[layout.Layout] // set with all records of the run locked, and Store.mu
	why     string                        // how the layout was found, for status; guarded by Store.mu
	guessed atomic.Bool                   // by names alone: what a checkpoint holds may tell better
	told    atomic.Bool                   // by what nobody else writes
	records map[string]*record            // by keyOf; guarded by Store.mu
	groups  int                           // how many of them are groups of files; guarded by Store.mu
	saving  map[*record]bool              // those that have a save; guarded by Store.mu
	stale   staleness                     // what standing does not know yet; guarded by Store.mu

	standing standing

	saved    []policy.Save   // the last ones of this mount; guarded by Store.mu
	foretold map[string]bool // versions that dry_run has kept from being pruned, and said so; guarded by Store.mu
}

// record is one checkpoint name of a run, from the first change below it until
// it is gone from the live tree, the views and the disk. A checkpoint is a
// directory, or it is spread: files that lie in the run itself (spread.go).
type record struct {
	mu  sync.RWMutex
	run *run

	// Written with mu and Store.mu both held; either is enough to read.
	name      string
	match     layout.Match
	committed *Version   // what views resolve the name to
	natural   bool       // something lies under the natural name
	saves     []*save    // oldest first; all but the last are sealed
	history   []*Version // newest first
	invalid   string     // why what lies under the natural name is not committed
	dead      bool       // no longer in run.records
	judged    *Manifest  // what was found under the natural name when it was judged last
	entry     string     // of a spread checkpoint: a file of it, which says what the name is
	kept      string     // of a spread checkpoint: where what lies under its names is kept together; "" for nowhere

	// Guarded by mu.
	numbers map[string]Ident  // of live directories, by path in the checkpoint
	drafts  map[string]*draft // unpublished or not yet final files, by path
	doubted time.Time         // when it was last seen to be changed from outside; zero when it is believed
	suspect []Damage          // what was damaged in what it was before that

	described described // what the disk said of it; has a lock of its own

	stuck *swapping // a commit that failed and could not be undone; guarded by mu

	readers atomic.Int32 // files of the committed version that are open by their live name
}

// path is the natural path of the checkpoint in the backing directory. Under that
// of a group of files there is nothing.
func (r *record) path() string { return join(r.run.path, r.name) }

// live is where the live tree of the name lies; ok is false when the name does
// not exist there. Needs mu.
func (r *record) live() (p string, ok bool) {
	if n := len(r.saves); n > 0 && !r.saves[n-1].swapped {
		return r.saves[n-1].tree(), true
	}
	if r.natural {
		return r.home(), true
	}
	return "", false
}

// current is the save that takes changes now, nil when the next change opens one.
func (r *record) current() *save {
	if n := len(r.saves); n > 0 && !r.saves[n-1].sealed {
		return r.saves[n-1]
	}
	return nil
}

// aside reports whether the committed version lies under another name: it was
// renamed aside, and its successor is not committed yet.
func (r *record) aside() bool { return !r.natural && r.committed != nil }

// lives reports whether the name is in the live tree. Needs mu or Store.mu.
func (r *record) lives() bool { return r.natural || len(r.saves) > 0 }

// place is where a path of the mount belongs.
type place struct {
	path string // the whole path
	rec  *record
	rel  string // below the checkpoint, "" for itself; of a spread one the file's name
}

// locate finds the checkpoint that a path lies in; rec is nil for plain paths.
// Of nested matches the outermost is the checkpoint.
func (s *Store) locate(p string) place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for end := 0; ; {
		dir := strings.TrimSuffix(p[:end], "/")
		rest := p[end:]
		name, rel, more := strings.Cut(rest, "/")
		if r := s.runs[dir]; r != nil {
			if rec := r.find(name, !more); rec != nil && rec.spread() {
				return place{p, rec, name}
			} else if rec != nil {
				return place{p, rec, rel}
			}
		}
		if !more {
			return place{path: p}
		}
		end += len(name) + 1
	}
}

// at is what a path of the mount means now. A checkpoint's name under which
// nothing lives, because its version was renamed aside or only earlier ones are
// left, is an ordinary one: there may be a link or a file.
func (s *Store) at(p string) place {
	at := s.locate(p)
	if at.rec != nil {
		s.mu.RLock()
		lives := at.rec.lives()
		s.mu.RUnlock()
		if !lives {
			return place{path: p}
		}
	}
	return at
}

// split is path.Split without the slash at the end of the directory.
func split(p string) (dir, name string) {
	dir, name = path.Split(p)
	return strings.TrimSuffix(dir, "/"), name
}

// join is path.Join for clean parts; name may be "", for dir itself.
func join(dir, name string) string {
	switch {
	case dir == "":
		return name
	case name == "":
		return dir
	}
	return dir + "/" + name
}

// match says what an entry called name in dir is, or would be: a checkpoint of
// the layout of that run, or of any layout while the run has none, or a file of
// one.
func (s *Store) match(dir, name string, isDir bool) (*layout.Layout, layout.Match, bool) {
	if s.inTemporary(join(dir, name)) {
		return nil, layout.Match{}, false // whatever it is called there
	}
	r, among := s.runAt(dir), s.layouts
	if r != nil && r.layout() != nil {
		l := r.layout()
		if m, ok := l.Match(name, isDir); ok || !r.guessed.Load() {
			return l, m, ok && m.Saved()
		}
		among = s.covering(r)
	}
	for _, l := range among {
		switch m, ok := l.Match(name, isDir); {
		case ok && m.Kind == layout.Temp:
			return nil, layout.Match{}, false // a word like any other to those behind it
		case ok && m.Checkpoint():
			return l, m, true
		}
	}
	return nil, layout.Match{}, false
}

// checkpoint returns the record of the checkpoint that an entry called name in
// dir is, or is a file of, made when there is none; nil when the name is no
// checkpoint's.
func (s *Store) checkpoint(dir, name string, isDir bool) *record {
	l, m, ok := s.match(dir, name, isDir)
	if !ok || dir == Private || strings.HasPrefix(dir, Private+"/") || !isDir && s.becoming(dir) {
		return nil
	}
	s.settleLayout(dir, l, name+" is a name of "+l.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[dir]
	if r == nil { // it was removed meanwhile
		r = newRun(dir)
		s.runs[dir] = r
		r.fits.Store(l)
	}
	rec := r.records[keyOf(m)]
	if rec == nil {
		rec = &record{run: r, name: m.Name, match: m, numbers: map[string]Ident{}, drafts: map[string]*draft{}}
		if rec.spread() {
			rec.entry = name
		}
		r.add(rec)
	}
	return rec
}

// bury takes a record whose name means nothing any more out of the catalog.
// Needs rec.mu.
func (s *Store) bury(rec *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec.natural || rec.committed != nil || len(rec.saves) > 0 || len(rec.history) > 0 {
		return
	}
	rec.dead = true
	rec.run.remove(rec)
	if len(rec.run.records) == 0 && rec.run.path != "" {
		delete(s.runs, rec.run.path)
	}
}

// change runs f with Store.mu held and says that what was derived from the old
// state of the record is not true any more. Needs rec.mu.
func (s *Store) change(rec *record, f func()) {
	s.mu.Lock()
	f()
	s.noteChange(rec)
	s.mu.Unlock()
}
