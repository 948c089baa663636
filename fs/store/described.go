package store

import (
	"sync"

	"ckptfs/fs/store/disk"
)

// described is what the disk said of the directories of one committed checkpoint,
// so that a listing needs to ask it for nothing. What was asked for while something
// changed is not kept, and whatever may change an answer drops them all: the catalog
// (noteChange), owners, modes, times and attributes (forgetDescribed), and what is
// seen to happen beneath the mount.
type described struct {
	mu      sync.Mutex
	changes uint64
	lists   map[string][]disk.Described // by path in the checkpoint
	stats   map[string]disk.Stat        // of the directories themselves
}

// describedMost is of how many checkpoints it is kept: some hundred bytes for each
// file of them.
const describedMost = 4096

// entriesOf lists a directory of the live tree of a record, sorted by name. What it
// gives is others' too, and not to be changed. Needs rec.mu.
func (s *Store) entriesOf(rec *record, rel string) ([]disk.Described, error) {
	dir, _ := rec.live()
	ask := func() ([]disk.Described, error) {
		list, err := s.disk.Describe(join(dir, rel))
		return byName(list), err
	}
	d := &rec.described
	if !s.describable(rec) {
		return ask()
	}
	d.mu.Lock()
	list, known := d.lists[rel]
	before := d.changes
	d.mu.Unlock()
	if known {
		return list, nil
	}
	list, err := ask()
	if err == nil {
		s.keepDescribed(rec, before, func() { d.lists[rel] = list })
	}
	return list, err
}

// statOf describes a name of the live tree of a record. Needs rec.mu.
func (s *Store) statOf(rec *record, rel string) (disk.Stat, error) {
	dir, _ := rec.live()
	d := &rec.described
	d.mu.Lock()
	st, known := d.stats[rel]
	before := d.changes
	d.mu.Unlock()
	if known {
		return st, nil
	}
	st, err := s.disk.Stat(join(dir, rel))
	if err == nil && st.IsDir() && s.describable(rec) {
		s.keepDescribed(rec, before, func() { d.stats[rel] = st })
	}
	return st, err
}

// describable reports whether what the disk says of a record stays true until
// something that we hear of changes it. Needs rec.mu.
func (s *Store) describable(rec *record) bool {
	return rec.natural && rec.committed != nil && len(rec.saves) == 0 && !rec.spread() && s.Watched()
}

// keepDescribed keeps an answer if nothing has changed since before it was asked for.
func (s *Store) keepDescribed(rec *record, before uint64, keep func()) {
	d := &rec.described
	d.mu.Lock()
	first := d.changes == before && d.lists == nil
	if first {
		d.lists, d.stats = map[string][]disk.Described{}, map[string]disk.Stat{}
	}
	if d.changes == before {
		keep()
	}
	d.mu.Unlock()
	if first {
		s.describedOnes.add(rec)
	}
}

// forgetDescribed drops what the disk said of a record.
func (rec *record) forgetDescribed() {
	d := &rec.described
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	d.lists, d.stats = nil, nil
}

func (s *Store) forgetDescribedAt(p string) {
	if rec := s.at(p).rec; rec != nil {
		rec.forgetDescribed()
	}
}

// describedOnes are the records of which something is kept, the oldest first.
type describedOnes struct {
	mu      sync.Mutex
	records []*record
}

// add enters a record; the oldest has to make room for it.
func (d *describedOnes) add(rec *record) {
	var oldest *record
	d.mu.Lock()
	d.records = append(d.records, rec)
	if len(d.records) > describedMost {
		oldest, d.records = d.records[0], d.records[1:]
	}
	d.mu.Unlock()
	if oldest != nil {
		oldest.forgetDescribed()
	}
}
