package store

import (
	"path"
	"slices"
	"strconv"
	"sync"

	"ckptfs/layout"
	"ckptfs/policy"
)

// standing is what the views of one run lead to. It is true of every record of
// the run but the stale ones: whatever changes a record enters it there, under
// the same Store.mu (noteChange), and who asks has the stale ones described anew
// first. So a commit costs the views one record, whatever the size of the run.
type standing struct {
	mu    sync.Mutex
	index *policy.Index // nil until somebody asks
	held  []holding     // by slot
	slots map[*record][]int
	also  map[*record][]layout.Kind // the kinds of the links to a record
	moved map[number]bool           // what the kernel was not told of yet
}

// holding is whose checkpoint is in a slot; the zero value for nobody's.
type holding struct {
	version *Version
	rec     *record
	earlier bool
}

// number is one name in by-epoch/ or by-step/.
type number struct {
	index Index
	n     int64
}

// staleness is what a standing does not know yet. Guarded by Store.mu.
type staleness struct {
	records map[*record]bool
	links   bool // the links of the run were changed
	all     bool // its layout or its path was: other rules may hold
}

func (st *staleness) add(rec *record) {
	if st.records == nil {
		st.records = map[*record]bool{}
	}
	st.records[rec] = true
}

// noteChange says that a record, or a version that it holds, is not what it was.
// Needs Store.mu.
func (s *Store) noteChange(rec *record) {
	rec.forgetDescribed()
	r := rec.run
	r.stale.add(rec)
	if len(rec.saves) > 0 {
		r.saving[rec] = true
	} else {
		delete(r.saving, rec)
	}
	s.unresolved(r)
}

// unresolved says that the views of a run may lead elsewhere, and tells of the
// listings that show them. Needs Store.mu.
func (s *Store) unresolved(r *run) {
	s.generation.Add(1)
	s.opts.Notify.Dir(r.path)
	for _, index := range []string{s.cfg.Views.ByEpoch, s.cfg.Views.ByStep} {
		s.opts.Notify.Dir(path.Join(r.path, index))
		s.opts.Notify.Dir(path.Join(r.path, "@"+index))
	}
}

// standingTries is how often records are described anew because some changed
// meanwhile: a version that moved from one name to another may have been missed
// under both.
const standingTries = 20

// standingOf is where the views of a run lead now. It is locked: the caller
// unlocks it. Called without locks.
func (s *Store) standingOf(r *run) *standing {
	x := &r.standing
	x.mu.Lock()
	for range standingTries {
		s.mu.Lock()
		stale := r.stale
		r.stale = staleness{}
		s.mu.Unlock()
		switch {
		case x.index == nil || stale.all:
			s.begin(x, r)
		case stale.links || len(stale.records) > 0:
			s.renew(x, r, stale.records)
		default:
			return x
		}
	}
	return x
}

// begin describes a run from scratch. Needs x.mu.
func (s *Store) begin(x *standing, r *run) {
	if x.moved == nil {
		x.moved = map[number]bool{}
	}
	for slot := range x.held {
		x.note(numbersOf(x.index.At(slot)))
	}
	x.held, x.slots, x.also = nil, map[*record][]int{}, s.kindsOfLinks(r)
	var list []policy.Checkpoint
	for _, rec := range s.recordsOf(r) {
		for _, c := range s.candidatesOf(rec, x.also[rec]) {
			x.slots[rec] = append(x.slots[rec], len(list))
			x.held = append(x.held, holding{c.version, c.rec, c.earlier})
			list = append(list, c.Checkpoint)
			x.note(numbersOf(&c.Checkpoint))
		}
	}
	x.index = policy.NewIndex(list, s.policyOf(r))
}

// renew describes some records anew, and those whose links are others now. Needs
// x.mu.
func (s *Store) renew(x *standing, r *run, stale map[*record]bool) {
	also := s.kindsOfLinks(r)
	for _, kinds := range []map[*record][]layout.Kind{x.also, also} {
		for rec := range kinds {
			if !slices.Equal(x.also[rec], also[rec]) {
				x.put(rec, s.candidatesOf(rec, also[rec]))
			}
		}
	}
	x.also = also
	for rec := range stale {
		x.put(rec, s.candidatesOf(rec, also[rec]))
	}
}

// put replaces what is known of a record. Needs x.mu.
func (x *standing) put(rec *record, list []candidate) {
	for _, slot := range x.slots[rec] {
		x.note(numbersOf(x.index.At(slot)))
		x.index.Remove(slot)
		x.held[slot] = holding{}
	}
	delete(x.slots, rec)
	for _, c := range list {
		slot := x.index.Add(c.Checkpoint)
		if slot == len(x.held) {
			x.held = append(x.held, holding{})
		}
		x.held[slot] = holding{c.version, c.rec, c.earlier}
		x.slots[rec] = append(x.slots[rec], slot)
		x.note(numbersOf(&c.Checkpoint))
	}
}

// numbersOf are the numbers under which a checkpoint may be shown.
func numbersOf(c *policy.Checkpoint) (list []number) {
	if c.Epoch != nil {
		list = append(list, number{ByEpoch, *c.Epoch})
	}
	if c.GlobalStep != nil {
		list = append(list, number{ByStep, *c.GlobalStep})
	}
	return list
}

func (x *standing) note(numbers []number) {
	for _, n := range numbers {
		x.moved[n] = true
	}
}

// version is that in a slot, nil for none.
func (x *standing) version(slot int) *Version {
	if slot < 0 {
		return nil
	}
	return x.held[slot].version
}

// chosen is the version that a view leads to, nil for none: whatever is chosen has
// been compared with its manifest. Called without locks.
func (s *Store) chosen(r *run, choose func(*policy.Index) int) *Version {
	for {
		x := s.standingOf(r)
		v := x.version(choose(x.index))
		x.mu.Unlock()
		if v == nil || !v.unchecked.Load() || s.vouch(v) {
			return v
		}
	}
}

// kindsOfLinks says of which kinds the links to the records of a run are.
func (s *Store) kindsOfLinks(r *run) map[*record][]layout.Kind {
	also := map[*record][]layout.Kind{}
	for _, a := range s.aliasesOf(r) {
		also[a.target] = append(also[a.target], a.kind)
	}
	return also
}

// protected lists what latest, resume and best lead to. Called without locks.
func (s *Store) protected(r *run) (list []*Version) {
	x := s.standingOf(r)
	defer x.mu.Unlock()
	for _, slot := range []int{x.index.Latest(), x.index.Resume(), x.index.Best()} {
		if v := x.version(slot); v != nil {
			list = append(list, v)
		}
	}
	return list
}

// viewsMoved tells the kernel that the views of a run may lead elsewhere. Called
// without locks.
func (s *Store) viewsMoved(r *run) {
	x := s.standingOf(r)
	moved := x.moved
	x.moved = map[number]bool{}
	x.mu.Unlock()
	s.tellViews(r, moved, s.opts.Notify.Entry)
}

// viewsChanged tells it that what they show of a record has other owners, modes
// or lists: a view shows the inodes of the live names as nodes of its own. The
// files of spread checkpoints may be shared with others. Called without locks.
func (s *Store) viewsChanged(rec *record) {
	x := s.standingOf(rec.run)
	changed := map[number]bool{}
	for other, slots := range x.slots {
		if other == rec || rec.spread() && other.spread() {
			for _, slot := range slots {
				for _, n := range numbersOf(x.index.At(slot)) {
					changed[n] = true
				}
			}
		}
	}
	x.mu.Unlock()
	s.tellViews(rec.run, changed, s.opts.Notify.Attributes)
}

func (s *Store) tellViews(r *run, numbers map[number]bool, tell func(dir, name string)) {
	s.mu.RLock()
	dir := r.path
	s.mu.RUnlock()
	n := s.cfg.Views
	for _, name := range []string{n.Latest, n.Resume, n.Best} {
		tell(dir, name)
		tell(dir, "@"+name)
	}
	names := map[Index]string{ByEpoch: n.ByEpoch, ByStep: n.ByStep}
	for at := range numbers {
		tell(path.Join(dir, names[at.index]), strconv.FormatInt(at.n, 10))
	}
}
