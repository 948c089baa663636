package store

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
	"ckptfs/policy"
)

// runViews is what the views of a run resolve to, worked out once per change.
type runViews struct {
	candidates []policy.Checkpoint
	versions   []*Version // parallel; nil where there is no version
	views      policy.Views
}

// Target is what a view name leads to: a version, or an index of numbers.
type Target struct {
	Version *Version
	Index   Index
}

// Index is a virtual directory of numbers.
type Index string

// The two indexes: they resolve to versions by number and protect nothing.
const (
	NoIndex Index = ""
	ByEpoch Index = "by-epoch"
	ByStep  Index = "by-step"
)

// candidates lists every checkpoint of a run as the policy sees it.
func (s *Store) candidates(r *run) *runViews {
	rv := new(runViews)
	add := func(c policy.Checkpoint, v *Version) {
		rv.candidates = append(rv.candidates, c)
		rv.versions = append(rv.versions, v)
	}
	also := map[*record][]layout.Kind{}
	for _, a := range s.aliasesOf(r) {
		also[a.target] = append(also[a.target], a.kind)
	}
	for _, rec := range s.recordsOf(r) {
		if rec.pointer() {
			continue
		}
		rec.mu.RLock()
		c := policy.Checkpoint{
			Name: rec.name, Kind: rec.match.Kind, Also: also[rec], Saving: len(rec.saves) > 0, Pinned: s.pinned(rec.path()),
		}
		switch {
		case rec.committed != nil:
			add(s.spoilt(describe(c, rec.committed, policy.Committed, rec.readers.Load() > 0), rec.committed), rec.committed)
		case len(rec.saves) > 0:
			c.State, c.Reason = rec.saveState(s)
			c.Epoch, c.Step, c.GlobalStep = rec.match.Epoch, rec.match.Step, rec.match.GlobalStep
			add(c, nil)
		case rec.natural:
			c.State, c.Reason = policy.Invalid, rec.invalid
			c.Epoch, c.Step, c.GlobalStep = rec.match.Epoch, rec.match.Step, rec.match.GlobalStep
			add(c, nil)
		}
		c.Saving = false // a save takes nothing from the earlier versions
		for _, v := range rec.history {
			c.Also = nil // a link leads to what is live
			add(s.spoilt(describe(c, v, policy.History, false), v), v)
		}
		rec.mu.RUnlock()
	}
	sort.Sort(byProgress{rv})
	return rv
}

// policyOf is the configuration for a run. Called without locks.
func (s *Store) policyOf(r *run) policy.Config {
	s.mu.RLock()
	shown := r.shown()
	s.mu.RUnlock()
	return s.cfg.For(shown, r.layout())
}

// byProgress orders candidates as a person reads them: the least advanced first,
// then by name, the newest version of a name first.
type byProgress struct{ *runViews }

func (o byProgress) Len() int { return len(o.candidates) }

func (o byProgress) Swap(i, j int) {
	o.candidates[i], o.candidates[j] = o.candidates[j], o.candidates[i]
	o.versions[i], o.versions[j] = o.versions[j], o.versions[i]
}

func (o byProgress) Less(i, j int) bool {
	a, b := o.candidates[i], o.candidates[j]
	if c := a.Progress.Compare(b.Progress); c != 0 {
		return c < 0
	}
	if a.Name != b.Name {
		return a.Name < b.Name
	}
	return a.ID > b.ID
}

func describe(c policy.Checkpoint, v *Version, state policy.State, open bool) policy.Checkpoint {
	c.ID, c.Progress, c.State = v.ID, v.Progress, state
	c.CommittedAt, c.Size, c.Metrics, c.BestName = v.CommittedAt, v.Size, v.Metrics, v.BestName
	c.InUse = open || v.views.Load() > 0
	return c
}

// saveState says how the newest save of a record stands. Needs mu.
func (rec *record) saveState(s *Store) (policy.State, string) {
	sv := rec.saves[len(rec.saves)-1]
	quiet := s.clock.Now().Sub(sv.changed) > s.cfg.Save.Settle
	if lacks := sv.lacks(); len(lacks) > 0 && quiet && !s.hasWriters(rec) && !sv.sealed {
		return policy.Incomplete, joinWords(lacks)
	}
	return policy.Saving, "a save is under way"
}

// viewsOf resolves the views of a run; the answer is kept until something
// changes.
func (s *Store) viewsOf(r *run) *runViews {
	if rv := r.views.Load(); rv != nil {
		return rv
	}
	for again := 0; ; again++ {
		before := s.generation.Load()
		rv := s.candidates(r)
		rv.views = policy.Resolve(rv.candidates, s.policyOf(r))
		s.mu.Lock()
		same := s.generation.Load() == before
		if same {
			r.views.Store(rv)
		}
		s.mu.Unlock()
		if same || again == viewTries {
			return rv
		}
	}
}

// viewTries is how often views are resolved anew because something changed
// meanwhile: a version that moved from one name to another may have been missed
// under both.
const viewTries = 20

func (rv *runViews) version(i int) *Version {
	if i < 0 {
		return nil
	}
	return rv.versions[i]
}

func (s *Store) runAt(dir string) *run {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.runs[dir]
}

// View says what a view name leads to in a run; false when it is no view or
// nothing resolves. A real entry goes first: the caller has looked. So does one
// that the trainer has yet to make: the kernel would refuse to create it where a
// directory is shown. "@latest" always means the view.
func (s *Store) View(dir, name string) (Target, bool) {
	r := s.runAt(dir)
	if r == nil {
		return Target{}, false
	}
	if r.owns(name) {
		return Target{}, false
	}
	name = strings.TrimPrefix(name, "@")
	rv := s.viewsOf(r)
	n := s.cfg.Views
	resolved := func(res policy.Resolution) (Target, bool) {
		v := rv.version(res.Target)
		return Target{Version: v}, v != nil
	}
	switch {
	case name == "":
		return Target{}, false
	case name == n.Latest:
		return resolved(rv.views.Latest)
	case name == n.Resume:
		return resolved(rv.views.Resume)
	case name == n.Best:
		return resolved(rv.views.Best)
	case name == n.ByEpoch:
		return Target{Index: ByEpoch}, len(rv.views.ByEpoch) > 0
	case name == n.ByStep:
		return Target{Index: ByStep}, len(rv.views.ByStep) > 0
	}
	return Target{}, false
}

// Listed names the views that a listing of a run shows, after the real entries.
// A view that a real entry shadows is listed as "@name".
func (s *Store) Listed(dir string, real func(name string) bool) []string {
	r := s.runAt(dir)
	if r == nil || s.cfg.Views.Listed == "never" {
		return nil
	}
	if s.cfg.Views.Listed != "always" && r.layout() != nil && !r.layout().ListsViews {
		return nil
	}
	n := s.cfg.Views
	var names []string
	for _, name := range []string{n.Latest, n.Resume, n.Best, n.ByEpoch, n.ByStep} {
		if _, ok := s.View(dir, "@"+name); name == "" || !ok {
			continue
		}
		if real(name) || r.owns(name) {
			name = "@" + name
		}
		names = append(names, name)
	}
	return names
}

// owns reports whether the trainer of a run makes an entry of this name itself.
func (r *run) owns(name string) bool { return r.layout() != nil && r.layout().Owns(name) }

// Numbers lists an index of a run in ascending order.
func (s *Store) Numbers(dir string, index Index) []int64 {
	r := s.runAt(dir)
	if r == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.viewsOf(r).numbers(index)))
}

func (rv *runViews) numbers(index Index) map[int64]int {
	if index == ByEpoch {
		return rv.views.ByEpoch
	}
	return rv.views.ByStep
}

// Numbered resolves one entry of an index; only the plain decimal form is one.
func (s *Store) Numbered(dir string, index Index, name string) *Version {
	n, err := strconv.ParseInt(name, 10, 64)
	r := s.runAt(dir)
	if err != nil || strconv.FormatInt(n, 10) != name || r == nil {
		return nil
	}
	rv := s.viewsOf(r)
	if i, ok := rv.numbers(index)[n]; ok {
		return rv.version(i)
	}
	return nil
}

// Hold keeps a version on disk while a view of it is known to the kernel; let go
// with Unhold.
func (v *Version) Hold() { v.views.Add(1) }

// Unhold ends one Hold.
func (v *Version) Unhold() { v.views.Add(-1) }

// leftView starts the time that a version stays on disk after the last view
// stopped resolving to it.
func (s *Store) leftView(v *Version) {
	v.left.Store(s.clock.Now().UnixNano())
	s.opts.Notify.Version(v)
}

// viewsMoved tells the kernel that the views of a run may lead elsewhere.
func (s *Store) viewsMoved(r *run) { s.eachView(r, s.opts.Notify.Entry) }

// viewsChanged tells it that what they show has other owners, modes or lists: a
// view shows the inodes of the live names as nodes of its own.
func (s *Store) viewsChanged(r *run) { s.eachView(r, s.opts.Notify.Attributes) }

func (s *Store) eachView(r *run, tell func(dir, name string)) {
	s.mu.RLock()
	dir := r.path
	s.mu.RUnlock()
	n := s.cfg.Views
	for _, name := range []string{n.Latest, n.Resume, n.Best} {
		tell(dir, name)
		tell(dir, "@"+name)
	}
	for index, name := range map[Index]string{ByEpoch: n.ByEpoch, ByStep: n.ByStep} {
		for _, number := range s.Numbers(dir, index) {
			tell(path.Join(dir, name), strconv.FormatInt(number, 10))
		}
	}
}

// VersionAttr describes a path of a version. A file has the st_ino of its live
// name and at least two links, so that du counts it once.
func (s *Store) VersionAttr(v *Version, rel string) (Attr, error) {
	var a Attr
	err := v.location(func(dir string) error {
		st, err := s.disk.Stat(path.Join(dir, rel))
		if err != nil {
			return err
		}
		a = s.versionStat(st)
		return nil
	})
	return a, err
}

func (s *Store) versionStat(st disk.Stat) Attr {
	a := Attr{Stat: st}
	if !st.IsDir() {
		a.Ident = s.identities.of(&st)
		a.Nlink++
	}
	return a
}

// VersionList lists a directory of a version, sorted by name.
func (s *Store) VersionList(v *Version, rel string) (out []Dirent, err error) {
	err = v.location(func(dir string) error {
		list, err := s.disk.ReadDir(path.Join(dir, rel))
		out = sorted(list, nil)
		return err
	})
	return out, err
}

// VersionOpen opens a file of a version for reading.
func (s *Store) VersionOpen(v *Version, rel string, flags int) (f *File, err error) {
	if flags&unix.O_ACCMODE != os.O_RDONLY || flags&unix.O_TRUNC != 0 {
		return nil, fmt.Errorf("write to a view: %w", unix.EROFS)
	}
	err = v.location(func(dir string) error {
		if f, err = s.open(path.Join(dir, rel), Ident{}, flags); err == nil {
			f.Immutable = true
		}
		return err
	})
	return f, err
}

// VersionReadlink reads a symbolic link of a version.
func (s *Store) VersionReadlink(v *Version, rel string) (target string, err error) {
	err = v.location(func(dir string) error {
		target, err = s.disk.Readlink(path.Join(dir, rel))
		return err
	})
	return target, err
}

// VersionGetxattr reads an extended attribute of a path of a version.
func (s *Store) VersionGetxattr(v *Version, rel, name string, dest []byte) (n int, err error) {
	err = v.location(func(dir string) error {
		n, err = s.disk.Getxattr(path.Join(dir, rel), name, dest)
		return err
	})
	return n, err
}
