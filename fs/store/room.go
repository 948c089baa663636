package store

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
	"ckptfs/policy"
)

// Several trainers delete before they write, and none asks whether there is room.
// So room is made before a save begins, while one is written (watch.go), and
// when a change fails for want of it. What gives way, what matters least first:
//
//	trash        of any age
//	quarantine   files that were held back
//	history      earlier versions of a name
//	checkpoints  that retention does not keep; with min_free also the least
//	             advanced ones that no rule names (policy.Room)
//
// Never the newest valid version of a run (unless protect_last is off), nor one
// that was renamed aside and whose successor is not committed, nor what a view
// still shows. What does not fit then gets ENOSPC, and status says why.
//
// One goroutine at a time makes room, and others wait for it. No lock of a
// record is held meanwhile, so only those wait who are about to write.
type room struct {
	making sync.Mutex // before all other locks; held while things are removed

	mu       sync.Mutex
	made     int       // counts what gave way, so that nobody takes twice for one need
	short    *shortage // what did not fit the last time; nil when it did
	low      time.Time // when the disk was last seen nearly full
	writing  int       // files of saves that are open for writing
	watching bool
}

// floor is how many free bytes make a disk nearly full: with passthrough nobody
// tells the store of a write that failed for want of space.
const floor = 8 << 20

// shortage is a save for which not enough could give way.
type shortage struct {
	run, name string // "" when it was no particular one
	want      int64
	hidden    bool // as much is free, but not for the writer: a quota
}

// space is how the disk stands.
type space struct {
	free  int64 // for an ordinary user
	floor int64 // what has to stay free while saves are written
}

func (s *Store) space() (space, error) {
	st, err := s.disk.Statfs()
	if err != nil {
		return space{}, err
	}
	block := int64(max(st.Bsize, 1))
	sp := space{free: int64(st.Bavail) * block}
	if sp.free < floor {
		s.room.mu.Lock()
		s.room.low = s.clock.Now()
		s.room.mu.Unlock()
	}
	sp.floor = max(floor, s.cfg.Retention.MinFree.Of(int64(st.Blocks)*block))
	return sp, nil
}

// roomFor makes room when a change at a place is the beginning of a save. Called
// without locks, before the save is opened.
func (s *Store) roomFor(at place, c Caller) {
	r, name, begins := s.beginsSave(at, c)
	if !begins || s.readOnly {
		return
	}
	sp, err := s.space()
	if err != nil {
		return
	}
	size := s.expected(r, name)
	s.relieve(r, name, size+sp.floor, func() bool {
		return s.disk.Fits("room", stagingDir, size, c.UID, c.GID) == nil
	})
}

// beginsSave says of which checkpoint a change at a place begins a save, or goes
// on with one that has failed. Under a temporary name a save begins before it has
// the checkpoint's.
func (s *Store) beginsSave(at place, c Caller) (r *run, name string, begins bool) {
	if rec := at.rec; rec != nil {
		tgid := s.procs.Process(c.TID)
		rec.mu.RLock()
		defer rec.mu.RUnlock()
		sv := rec.current()
		return rec.run, rec.name, sv == nil || sv.failed != "" || s.beginsAttempt(sv, at.rel, tgid)
	}
	dir, name := split(at.path)
	of := s.temporary(dir, name)
	return s.runAt(dir), of, of != ""
}

// temporary is the checkpoint that a directory of a run will become; "" when it
// will become none.
func (s *Store) temporary(dir, name string) (of string) {
	if r := s.runAt(dir); r != nil && r.layout != nil {
		if m, ok := r.layout.Match(name, true); ok && m.Kind == layout.Temp {
			return m.Of
		}
	}
	return ""
}

// expected is how large a save may become: as the last one of its name, else as
// the largest of the run.
func (s *Store) expected(r *run, name string) (size int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	largest := int64(0)
	for _, rec := range r.records {
		v := rec.committed
		if v == nil && len(rec.history) > 0 {
			v = rec.history[0]
		}
		if v == nil {
			continue
		}
		if rec.name == name {
			return v.Size
		}
		largest = max(largest, v.Size)
	}
	for _, t := range s.trash { // in the order of deletion
		if t.Valid && t.Run == r.path {
			largest = max(largest, t.Size)
			if t.Name == name {
				size = t.Size
			}
		}
	}
	if size == 0 {
		size = largest
	}
	return size
}

// relieve has things give way until so many bytes are free, and what is to be
// written fits (nil: nothing is known of it), and reports whether that came
// about. r and name, which may be nil and "", are what it is for. Called without
// locks.
func (s *Store) relieve(r *run, name string, want int64, fits func() bool) bool {
	enough := func() bool {
		sp, err := s.space()
		return err != nil || sp.free >= want && (fits == nil || fits())
	}
	if enough() {
		s.setShort(nil)
		return true
	}
	s.room.making.Lock()
	defer s.room.making.Unlock()
	done := s.freeUp(r, enough)
	if !done && s.letViewsGo() {
		s.await(context.Background(), recheckViews)
		done = s.freeUp(r, enough)
	}
	if done {
		s.setShort(nil)
		return true
	}
	short := &shortage{name: name, want: want}
	if r != nil {
		short.run = r.path
	}
	if sp, err := s.space(); err == nil {
		short.hidden = sp.free >= want
	}
	s.setShort(short)
	return false
}

// giveWay makes room after a change has failed for want of it. made is what
// s.roomMade said before.
func (s *Store) giveWay(made int) bool {
	s.room.making.Lock()
	defer s.room.making.Unlock()
	if s.roomMade() != made {
		return true // somebody else has
	}
	enough := func() bool { // at least one thing: a quota may be what is used up
		sp, err := s.space()
		return err == nil && s.roomMade() != made && sp.free >= sp.floor
	}
	s.freeUp(nil, enough)
	return s.roomMade() != made
}

// WithRoom tries a change once more that failed for want of space, when
// something could give way. Called without locks.
func (s *Store) WithRoom(change func() error) error {
	made := s.roomMade()
	err := change()
	if !lacksSpace(err) || s.readOnly || !s.giveWay(made) {
		return err
	}
	return change()
}

func lacksSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (s *Store) roomMade() int {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.room.made
}

func (s *Store) setShort(short *shortage) {
	s.room.mu.Lock()
	was := s.room.short
	s.room.short = short
	s.room.mu.Unlock()
	if short != nil && (was == nil || *was != *short) {
		s.log.Warn("space is short, and nothing more can give way", "checkpoint", path.Join(short.run, short.name), "wanted", short.want)
		s.event("short", path.Join(short.run, short.name), s.whyShort(short))
	}
}

// freeUp removes one thing after the other until there is enough, those of run r
// first. Needs room.making.
func (s *Store) freeUp(r *run, enough func() bool) bool {
	enough = s.afterCommitOfDisk(enough)
	for _, t := range s.trashOldestFirst() {
		if enough() {
			return true
		}
		if s.mayShred(t) {
			s.gave("the trash", t.Name, s.shred(t))
		}
	}
	for _, h := range s.Quarantine() {
		if enough() {
			return true
		}
		s.gave("the quarantine", h.Path, s.dropHeld(h.ID))
	}
	for _, c := range s.sacrifices(r) {
		if enough() {
			return true
		}
		s.gave("the run", c.Name, s.sacrifice(c))
	}
	return enough()
}

// gave notes that something was removed, or why it could not be.
func (s *Store) gave(from, what string, err error) {
	if err != nil {
		s.log.Info("kept, although space is short", "from", from, "what", what, "why", err)
		return
	}
	s.log.Info("removed, because space is short", "from", from, "what", what)
	s.room.mu.Lock()
	s.room.made++
	s.room.mu.Unlock()
}

// afterCommitOfDisk asks again after a sync when something was removed and there
// still is not enough: btrfs counts what was removed as free only then.
func (s *Store) afterCommitOfDisk(enough func() bool) func() bool {
	synced := s.roomMade()
	return func() bool {
		if enough() {
			return true
		}
		made := s.roomMade()
		if made == synced {
			return false
		}
		synced = made
		s.report("sync the disk to have its space back", s.disk.Syncfs("room"))
		return enough()
	}
}

// sacrifice is a version that a run gives up.
type sacrifice struct {
	run *run
	policy.Decision
}

// sacrifices lists what the runs may give up: earlier versions, then
// checkpoints, each of run r first.
func (s *Store) sacrifices(r *run) (list []sacrifice) {
	if s.cfg.Retention.DryRun {
		return nil
	}
	runs := s.runsSorted()
	if i := slices.Index(runs, r); i > 0 {
		runs = slices.Insert(slices.Delete(runs, i, i+1), 0, r)
	}
	var checkpoints []sacrifice
	for _, r := range runs {
		rv := s.candidates(r)
		for _, d := range policy.Room(rv.candidates, policy.Resolve(rv.candidates, s.cfg), s.cfg.Retention, s.clock.Now()) {
			if d.State == policy.History {
				list = append(list, sacrifice{r, d})
			} else {
				checkpoints = append(checkpoints, sacrifice{r, d})
			}
		}
	}
	return append(list, checkpoints...)
}

// sacrifice removes a version for good, by way of the trash.
func (s *Store) sacrifice(c sacrifice) error {
	err := s.Delete(path.Join(c.run.path, c.Name), c.ID, strings.Join(c.Reasons, "; "))
	if lacksSpace(err) && c.State == policy.History {
		return s.dropEarlier(path.Join(c.run.path, c.Name), c.ID)
	}
	if err != nil {
		return err
	}
	for _, t := range s.trashOldestFirst() {
		if t.ID == c.ID && s.mayShred(t) {
			return s.shred(t)
		}
	}
	return nil
}

// dropEarlier removes an earlier version where it lies: with its quota used up,
// btrfs refuses a rename and allows to unlink. Without its manifest it is no
// version any more, whatever a crash leaves of it.
func (s *Store) dropEarlier(p, id string) error {
	rec := s.locate(p).rec
	if rec == nil {
		return unix.ENOENT
	}
	rec.mu.Lock()
	i := slices.IndexFunc(rec.history, func(v *Version) bool { return v.ID == id && v.views.Load() == 0 })
	if i < 0 {
		rec.mu.Unlock()
		return unix.ENOENT
	}
	v := rec.history[i]
	s.change(rec, func() { rec.history = append(rec.history[:i:i], rec.history[i+1:]...) })
	v.mu.Lock()
	dir := v.path
	v.path = ""
	v.mu.Unlock()
	rec.mu.Unlock()
	if err := s.disk.Unlink("room:drop", manifestPath(id)); err != nil {
		return err
	}
	if err := s.disk.Sync("room:drop", manifestDir); err != nil {
		return err
	}
	return s.removeAll("room:drop", dir)
}
