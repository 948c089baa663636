package store

import (
	"cmp"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
	"ckptfs/policy"
)

// UsageReport is `du --json`: bytes on the disk, as du(1) counts them. What has
// several names, as hard links, and what files share by reflink, is counted where
// the columns have it first, and under shared where it is met again.
type UsageReport struct {
	Runs  []RunUsage `json:"runs"`
	Free  int64      `json:"free"`  // of the file system, for an ordinary user
	Total int64      `json:"total"` // its size
}

// RunUsage is one run of a UsageReport; its path is "." for the root.
type RunUsage struct {
	Path  string      `json:"path"`
	Kinds []KindUsage `json:"kinds"`
	Usage             // of all kinds
}

// KindUsage is what the checkpoints of one kind take.
type KindUsage struct {
	Kind layout.Kind `json:"kind"`
	Usage
}

// Usage is in bytes.
type Usage struct {
	Committed  int64 `json:"committed"`
	Invalid    int64 `json:"invalid"` // under a checkpoint's name, and none
	History    int64 `json:"history"`
	Trash      int64 `json:"trash"`
	Staging    int64 `json:"staging"`
	Quarantine int64 `json:"quarantine"`
	Shared     int64 `json:"shared"`   // of what is counted elsewhere already
	Freeable   int64 `json:"freeable"` // what the policy would delete now
}

// Sum is what all of it takes of the disk.
func (u Usage) Sum() int64 {
	return u.Committed + u.Invalid + u.History + u.Trash + u.Staging + u.Quarantine
}

// Add adds what another one takes.
func (u *Usage) Add(o Usage) {
	u.Committed += o.Committed
	u.Invalid += o.Invalid
	u.History += o.History
	u.Trash += o.Trash
	u.Staging += o.Staging
	u.Quarantine += o.Quarantine
	u.Shared += o.Shared
	u.Freeable += o.Freeable
}

// Hide takes from a report the runs that a user does not see.
func (r *UsageReport) Hide(sees func(dir string) bool) {
	r.Runs = visible(r.Runs, sees, func(u RunUsage) string { return u.Path })
}

// meter adds up what is found, every inode once, and every piece of the disk that
// files share by reflink.
type meter struct {
	store *Store
	seen  map[inodeKey]bool
	parts map[uint64]bool // where shared pieces begin
	runs  map[string]map[layout.Kind]*Usage
}

type inodeKey struct{ dev, ino uint64 }

// of is the line of a run and a kind.
func (m *meter) of(run string, kind layout.Kind) *Usage {
	if m.runs[run] == nil {
		m.runs[run] = map[layout.Kind]*Usage{}
	}
	if m.runs[run][kind] == nil {
		m.runs[run][kind] = new(Usage)
	}
	return m.runs[run][kind]
}

// tree adds what lies at a path, and below it, to a column. What has gone
// meanwhile counts as nothing.
func (m *meter) tree(p string, column, shared *int64) error {
	if p == "" {
		return nil
	}
	st, err := m.store.disk.Stat(p)
	if err != nil {
		return unreadOnly(err)
	}
	list := []treeEntry{{"", st}}
	if st.IsDir() {
		below, err := m.store.walk(p)
		if err != nil {
			return unreadOnly(err)
		}
		list = append(list, below...)
	}
	for _, e := range list {
		size, key := int64(e.st.Blocks)*512, inodeKey{e.st.Dev, e.st.Ino}
		if m.seen[key] {
			*shared += size
			continue
		}
		m.seen[key] = true
		again := min(size, m.reflinked(path.Join(p, e.rel), &e.st))
		*shared += again
		*column += size - again
	}
	return nil
}

// reflinked is how much of a file was met in another one.
func (m *meter) reflinked(p string, st *disk.Stat) (again int64) {
	if !st.IsRegular() || st.Blocks == 0 {
		return 0
	}
	f, err := m.store.disk.Open("", p, os.O_RDONLY, 0)
	if err != nil {
		return 0 // gone, or not to be read: it counts as its own
	}
	defer f.Close()
	for _, e := range m.store.disk.Shared(f) {
		if m.parts[e.At] {
			again += int64(e.Size)
		}
		m.parts[e.At] = true
	}
	return again
}

// Usage measures what the checkpoints of each run take of the disk.
func (s *Store) Usage() (UsageReport, error) {
	m := &meter{store: s, seen: map[inodeKey]bool{}, parts: map[uint64]bool{}, runs: map[string]map[layout.Kind]*Usage{}}
	for _, measure := range []func() error{m.named, m.earlier, m.trash, m.staging, m.quarantine} {
		if err := measure(); err != nil {
			return UsageReport{}, err
		}
	}
	m.freeable()
	rep := UsageReport{Runs: []RunUsage{}}
	if st, err := s.disk.Statfs(); err == nil {
		block := int64(max(st.Bsize, 1))
		rep.Free, rep.Total = int64(st.Bavail)*block, int64(st.Blocks)*block
	}
	for _, path := range slices.Sorted(maps.Keys(m.runs)) {
		r := RunUsage{Path: shownRun(path), Kinds: []KindUsage{}}
		for kind, u := range m.runs[path] {
			r.Kinds = append(r.Kinds, KindUsage{kind, *u})
			r.Usage.Add(*u)
		}
		slices.SortFunc(r.Kinds, func(a, b KindUsage) int {
			return cmp.Or(cmp.Compare(b.Sum(), a.Sum()), cmp.Compare(a.Kind, b.Kind))
		})
		rep.Runs = append(rep.Runs, r)
	}
	return rep, nil
}

// named measures what lies under natural names.
func (m *meter) named() error {
	for _, r := range m.store.runsSorted() {
		for _, rec := range m.store.recordsOf(r) {
			if rec.pointer() {
				continue
			}
			rec.mu.RLock()
			err := m.record(rec)
			rec.mu.RUnlock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// record measures one. Needs rec.mu.
func (m *meter) record(rec *record) error {
	if !rec.natural {
		return nil
	}
	u := m.of(rec.run.path, rec.match.Kind)
	column := &u.Committed
	if rec.committed == nil {
		column = &u.Invalid
	}
	if rec.kept != "" || !rec.spread() {
		if err := m.tree(rec.home(), column, &u.Shared); err != nil {
			return err
		}
	}
	files, err := m.store.filesShown(rec)
	if err != nil {
		return unreadOnly(err)
	}
	for _, e := range files { // second names of what lies in its home, or copies
		var again int64
		if err := m.tree(path.Join(rec.run.path, e.Name), column, &again); err != nil {
			return err
		}
	}
	return nil
}

// earlier measures the history.
func (m *meter) earlier() error {
	for _, r := range m.store.runsSorted() {
		for _, rec := range m.store.recordsOf(r) {
			rec.mu.RLock()
			history := slices.Clone(rec.history)
			rec.mu.RUnlock()
			for _, v := range history {
				u := m.of(rec.run.path, rec.match.Kind)
				if err := m.tree(v.where(), &u.History, &u.Shared); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (m *meter) trash() error {
	for _, t := range m.store.trashOldestFirst() {
		u := m.of(t.Run, m.store.kindOf(path.Join(t.Run, t.Name)))
		if err := m.tree(t.path(), &u.Trash, &u.Shared); err != nil {
			return err
		}
	}
	return nil
}

// staging measures unfinished saves, of which the catalog knows only where they
// were recovered.
func (m *meter) staging() error {
	list, err := m.store.disk.ReadDir(stagingDir)
	if err != nil {
		return unreadOnly(err)
	}
	for _, e := range list {
		run, kind := "", layout.Kind("")
		if note, err := m.store.readNote(e.Name); err == nil {
			run = m.store.runNow(note.Run)
			kind = m.store.kindOf(path.Join(run, note.Name))
		}
		u := m.of(run, kind)
		if err := m.tree(path.Join(stagingDir, e.Name), &u.Staging, &u.Shared); err != nil {
			return err
		}
	}
	return nil
}

func (m *meter) quarantine() error {
	for _, h := range m.store.Quarantine() {
		m.store.mu.RLock()
		run := m.store.runOfHeld(&h)
		m.store.mu.RUnlock()
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(h.Path, run), "/"), "/")
		u := m.of(run, m.store.kindOf(path.Join(run, name)))
		if err := m.tree(path.Join(quarantineDir, h.ID), &u.Quarantine, &u.Shared); err != nil {
			return err
		}
	}
	return nil
}

// freeable asks the policy what would go now.
func (m *meter) freeable() {
	s := m.store
	s.compareAll()
	for _, r := range s.runsSorted() {
		rv := s.candidates(r)
		rv.views = policy.Resolve(rv.candidates, s.policyOf(r))
		byKind := map[layout.Kind][]policy.Decision{}
		for _, d := range policy.Retain(rv.candidates, rv.views, s.cfg.Retention, s.clock.Now()) {
			kind := s.kindOf(path.Join(r.path, d.Name))
			byKind[kind] = append(byKind[kind], d)
		}
		for kind, ds := range byKind {
			if n := policy.Reclaimable(ds); n > 0 {
				m.of(r.path, kind).Freeable = n
			}
		}
	}
}

// kindOf is the kind of a checkpoint's name, whether or not it is there.
func (s *Store) kindOf(p string) layout.Kind {
	if rec := s.named(p); rec != nil {
		return rec.match.Kind
	}
	dir, name := split(p)
	for _, isDir := range []bool{true, false} {
		if _, m, ok := s.match(dir, name, isDir); ok {
			return m.Kind
		}
	}
	return ""
}
