package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/proc"
)

// save is everything from the first change under a checkpoint name until it is
// committed or discarded. Its fields are guarded by the record's mu (rec
// also by Store.mu, as the marked fields of a record); id never changes.
//
//	open ──(complete, quiet)──► sealed ──► committed
//	 │                            └──(sync failed)──► open again, failed
//	 └──(name deleted, same content, too old)──► gone
type save struct {
	id   string
	rec  *record
	base *Version // what the clone was taken from; nil for a new name

	restores *earlier // what is to be committed again; nil for a save of somebody's changes

	created time.Time
	changed time.Time // the last change of content
	changes int       // counts them, so that a judge sees one that came meanwhile

	rewritten map[string]bool // paths with an inode that is new in this save
	removed   bool            // something of the base was removed
	order     []string        // core files published in this attempt, in order
	twice     bool            // the last of them was written again, maybe by the next attempt
	torn      bool            // and the others are of other processes
	writers   map[uint32]proc.Watch
	authors   map[uint32]bool   // those of them that wrote more than strangers
	boundary  bool              // the trainer's word that it is complete: commit without settling
	placed    bool              // renamed into place whole
	declared  bool              // the user's word: commit also what rewrote only a part
	held      map[string]string // files that were held back and not written again, with the reason
	died      string            // how one who wrote it has ended, when a judge saw that
	arrived   bool              // it came whole, by a rename
	mixed     bool              // it holds core files of an attempt that was given up: all must be rewritten
	hurry     bool              // an unmount waits: judge now, by the same rules
	forced    bool              // the user said: commit what is there
	sealed    bool              // takes no more changes
	failed    string            // why a complete save is not committed
	cause     error             // of a commit that failed; nil when it has not, or was not tried since the last change
	again     bool              // it failed for want of space only: to be tried again
	missing   []string
	problems  []string
	attempts  int
	found     map[string]uint64 // files that were there when this attempt began, by inode
	removal   string            // why what it leaves is no checkpoint: it is committed as a removal
	from      *save             // the sealed save that it was cloned from
	carries   *save             // the same, while it only carries open strangers of that
	left      []left            // of a sealed save: strangers that its version gets copies of
	swapped   bool              // sealed, and under its natural name; not durable yet
	next      *Version          // what a swapped save becomes
	timed     timed
	hands     map[string]uint32 // the process that first wrote each file
	shared    bool              // a file has several writers: one more may have died before its turn
	leftOpen  bool              // a process exited with 0 and left a file of it open: nobody said that all was written
	recovered bool              // found at mount: who wrote it is not known
	otherBoot bool              // and the machine has been down since
	cancel    func()            // stops the timer of the next judgement
	due       time.Time         // when that is; zero while none is set
	through   chan struct{}     // closed when the commit of a sealed save has ended, well or not
	done      chan struct{}     // closed when the save is no more
}

// saveNote is save.json: what recovery needs to know of an unfinished save.
type saveNote struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Run     string    `json:"run"`
	Name    string    `json:"name"`
	Entry   string    `json:"entry,omitempty"` // a file of it, where the checkpoint is spread
	Base    string    `json:"base,omitempty"`
	Boot    string    `json:"boot"`
	Created time.Time `json:"created"`
	// Found are the files, with their inodes, that the present attempt did not
	// write: recovery must not take them for its own.
	Found map[string]uint64 `json:"found,omitempty"`
	// Twice: a core file was about to be written again, after others.
	Twice bool `json:"twice,omitempty"`
	// Held and Died are why it was not committed: nobody else knows how those ended
	// who wrote it.
	Held map[string]string `json:"held,omitempty"`
	Died string            `json:"died,omitempty"`
}

const noteFormat = 1

// over reports whether the save is no more: committed, or dropped.
func (sv *save) over() bool {
	select {
	case <-sv.done:
		return true
	default:
		return false
	}
}

func (sv *save) dir() string    { return stagingDir + "/" + sv.id }
func (sv *save) tree() string   { return stagingDir + "/" + sv.id + "/tree" }
func (sv *save) drafts() string { return stagingDir + "/" + sv.id + "/open" }

// openSave returns the save that takes a change of rec, opening one as a clone
// of what is live. Needs rec.mu.
func (s *Store) openSave(rec *record) (*save, error) {
	if s.readOnly {
		return nil, unix.EROFS
	}
	if err := s.usable(rec); err != nil {
		return nil, err
	}
	if sv := rec.current(); sv != nil {
		return sv, nil
	}
	s.compare(rec)
	from, exists := rec.live()
	if exists {
		if err := s.keepTogether(rec); err != nil {
			return nil, err
		}
		from, _ = rec.live()
	}
	sv, err := s.stage(rec, func(sv *save) error {
		if !exists {
			if err := s.newTree(sv); err != nil {
				return err
			}
			return s.noteSave(sv)
		}
		if err := s.clone("save:clone", from, sv.tree()); err != nil {
			return err
		}
		return s.beginFresh(sv, false)
	})
	if err != nil {
		return nil, err
	}
	s.opts.Notify.Dir(rec.dir())
	return sv, nil
}

// stage makes the staging directory of a new save, and enters it as the live
// face of rec. fill makes its tree and its note. A directory without a note
// belongs to no save: so a clone gets its note when it is whole, and says which
// files it found, but what the trainer has written is named before it moves in.
// Needs rec.mu.
func (s *Store) stage(rec *record, fill func(*save) error) (*save, error) {
	now := s.clock.Now()
	sv := &save{
		id: s.newID(), rec: rec, created: now, changed: now,
		rewritten: map[string]bool{}, held: map[string]string{}, writers: map[uint32]proc.Watch{}, authors: map[uint32]bool{}, done: make(chan struct{}),
	}
	sv.base = rec.base()
	if n := len(rec.saves); n > 0 {
		sv.from = rec.saves[n-1]
	}
	if err := s.disk.Mkdir("save:open", sv.dir(), 0o700); err != nil {
		return nil, err
	}
	err := s.disk.Mkdir("save:open", sv.drafts(), 0o700)
	if err == nil {
		err = fill(sv)
	}
	if err != nil {
		return nil, errors.Join(err, s.removeAll("save:undo", sv.dir()))
	}
	s.change(rec, func() { rec.saves = append(rec.saves, sv) })
	if sv.carries == nil && sv.restores == nil && !rec.pointer() { // which may be written before the checkpoint is whole
		s.hurryOthers(rec)
	}
	s.log.Debug("save opened", "checkpoint", rec.path(), "save", sv.id)
	return sv, nil
}

// base is the version that a clone of the live content starts from; nil when
// that is none yet. Needs mu.
func (r *record) base() *Version {
	if n := len(r.saves); n > 0 {
		return r.saves[n-1].next
	}
	if r.natural {
		return r.committed
	}
	return nil
}

func (s *Store) noteSave(sv *save) error { return s.writeSaveNote("save:note", sv, false) }

func (s *Store) writeSaveNote(op disk.Op, sv *save, sync bool) error {
	note := saveNote{
		Format: noteFormat, ID: sv.id, Run: sv.rec.run.path, Name: sv.rec.name, Entry: sv.rec.entry, Boot: s.boot, Created: sv.created,
		Found: sv.found, Twice: sv.twice, Held: sv.held, Died: sv.died,
	}
	if sv.carries != nil { // should that not be committed, this goes on with its attempt
		note.Found, note.Twice = sv.carries.found, sv.carries.twice
	}
	if sv.base != nil {
		note.Base = sv.base.ID
	}
	b, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("encode save %s: %w", sv.id, err)
	}
	return s.writeFile(op, path.Join(sv.dir(), "save.json"), append(b, '\n'), sync)
}

// touch records a change of content by a process and sets the next judgement.
// Needs rec.mu.
func (s *Store) touch(sv *save, tgid uint32) {
	sv.changed = s.clock.Now()
	sv.changes++
	sv.failed, sv.cause = "", nil
	sv.boundary, sv.placed, sv.declared, sv.hurry = false, false, false, false
	if _, ok := sv.writers[tgid]; !ok && tgid != 0 {
		sv.writers[tgid] = s.procs.Watch(tgid)
	}
	if wait := s.pause(sv); sv.due.IsZero() || sv.due.After(sv.changed.Add(wait)) {
		s.schedule(sv, wait)
	} // else the judge looks sooner, and sets when he looks again
}

// pause is how long a save has to be quiet before it is judged. One file is whole
// or not as soon as it is closed. Needs rec.mu.
func (s *Store) pause(sv *save) time.Duration {
	if sv.rec.single() {
		return 0
	}
	return s.cfg.Save.Settle
}

// wrote remembers that a process had a hand in what makes the checkpoint. Needs
// rec.mu.
func (sv *save) wrote(rel string, tgid uint32) {
	if !sv.rec.stranger(rel) {
		sv.authors[tgid] = true
	}
	if first, known := sv.hands[rel]; known && first != tgid {
		sv.shared = true
	} else if sv.hands == nil {
		sv.hands = map[string]uint32{rel: tgid}
	} else {
		sv.hands[rel] = tgid
	}
}

// written takes a file off the list of those that were held back: it was written
// again, or removed. Should that get lost, the save waits for it. Needs rec.mu.
func (s *Store) written(sv *save, rel string) {
	if _, held := sv.held[rel]; held {
		delete(sv.held, rel)
		s.report("write down what a save waits for", s.noteSave(sv))
	}
}

// begun makes a save that only carried strangers one of its own. Needs rec.mu.
func (s *Store) begun(sv *save) error {
	if sv.carries == nil {
		return nil
	}
	sv.carries = nil
	return s.noteSave(sv)
}

// drop takes a save out of its record and removes what it staged. The live
// tree falls back to what is committed. Needs rec.mu.
func (s *Store) drop(sv *save, why string) {
	rec := sv.rec
	sv.unschedule()
	for rel, d := range rec.drafts {
		if d.save == sv {
			d.gone = true
			delete(rec.drafts, rel)
		}
	}
	s.change(rec, func() {
		for i, other := range rec.saves {
			if other == sv {
				rec.saves = append(rec.saves[:i:i], rec.saves[i+1:]...)
				break
			}
		}
	})
	s.finish(sv)
	s.log.Debug("save dropped", "checkpoint", rec.path(), "save", sv.id, "why", why)
	if s.journaled(sv.id) {
		s.log.Warn("a dropped save is left where it is: recovery needs what it holds", "save", sv.id)
	} else if err := s.removeAll("save:drop", sv.dir()); err != nil {
		s.log.Warn("cannot remove a dropped save; recovery will", "save", sv.id, "err", err)
	}
	s.wake()
}

// finish gives back what a save holds.
func (s *Store) finish(sv *save) {
	s.writeBack.letGo(sv)
	for _, w := range sv.writers {
		w.Close()
	}
	sv.writers = map[uint32]proc.Watch{}
	if !sv.over() {
		close(sv.done)
	}
}

// lockOf locks the record that a save belongs to; a rename may move it meanwhile.
func (s *Store) lockOf(sv *save) *record {
	owner := func() *record {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return sv.rec
	}
	for {
		rec := owner()
		rec.mu.Lock()
		if owner() == rec {
			return rec
		}
		rec.mu.Unlock()
	}
}

// awaitSealed returns when no sealed save of the record is being committed.
// Called without locks; a rename or a removal of the whole name needs it.
func (s *Store) awaitSealed(rec *record) {
	for {
		var busy chan struct{}
		rec.mu.RLock()
		for _, sv := range rec.saves {
			if sv.sealed {
				busy = sv.through
				break
			}
		}
		rec.mu.RUnlock()
		if busy == nil {
			return
		}
		<-busy
	}
}

// hurryOthers judges the saves of a run at once that were open before: who begins
// the next checkpoint, or removes an old one, has finished with those that he has
// closed. Needs rec.mu.
func (s *Store) hurryOthers(rec *record) {
	var before []*save
	s.mu.RLock()
	for other := range rec.run.saving {
		if other != rec {
			before = append(before, other.saves[len(other.saves)-1])
		}
	}
	s.mu.RUnlock()
	if len(before) == 0 {
		return
	}
	s.spawn(func() { // their records are locked one at a time
		for _, sv := range before {
			other := s.lockOf(sv)
			if other.current() == sv && !sv.boundary {
				sv.hurry = true
				s.schedule(sv, 0)
			}
			other.mu.Unlock()
		}
	})
}

// concludeRun commits what is complete in the rest of the run before a
// checkpoint of it is deleted: the trainer makes room for what it has saved, and
// that must not be lost should it die now. Called without locks.
func (s *Store) concludeRun(rec *record) {
	for _, other := range s.savingIn(rec.run) {
		if other == rec {
			continue
		}
		s.awaitReleases(other, releaseBound)
		other.mu.Lock()
		sv := other.current()
		if sv != nil {
			sv.hurry = true
		}
		other.mu.Unlock()
		if sv != nil {
			s.conclude(sv)
		}
		s.awaitSealed(other)
	}
}

// releaseBound is how long a RELEASE may lag behind the close of the last
// descriptor before it is no longer waited for.
const releaseBound = time.Second

// releaseSoon is how soon it is looked whether it has come.
const releaseSoon = 20 * time.Millisecond

// awaitReleases returns when every file that its writers have closed is
// released too, or the bound is over: the kernel tells of that a moment after
// close has returned. Called without locks.
func (s *Store) awaitReleases(rec *record, bound time.Duration) {
	for end := s.clock.Now().Add(bound); s.clock.Now().Before(end); {
		rec.mu.RLock()
		lagging := false
		for _, d := range rec.drafts {
			lagging = lagging || d.visible && len(d.handles) > 0 && d.flushed() && !d.leavable()
		}
		rec.mu.RUnlock()
		if !lagging {
			return
		}
		s.await(context.Background(), releaseSoon)
	}
}

// concludeSave brings to its end what the trainer has declared complete, before
// its name means something else. Called without locks.
func (s *Store) concludeSave(rec *record) {
	rec.mu.RLock()
	sv := rec.current()
	declared := sv != nil && sv.boundary
	rec.mu.RUnlock()
	if declared {
		s.conclude(sv)
	}
	s.awaitSealed(rec)
}

// Conclude brings to its end what a rename of checkpoints would wait for.
func (s *Store) Conclude(names ...string) {
	for _, p := range names {
		if at := s.at(p); at.rec != nil && at.rel == "" {
			s.concludeSave(at.rec)
		}
	}
}

// wake tells those who wait for saves to settle that one of them moved.
func (s *Store) wake() {
	s.mu.Lock()
	s.settled.Broadcast()
	s.mu.Unlock()
}

// closeSaves parks every open save: the files stay staged for the next mount.
func (s *Store) closeSaves() {
	for _, rec := range s.allRecords() {
		rec.mu.Lock()
		for _, sv := range rec.saves {
			sv.unschedule()
			s.finish(sv)
		}
		rec.mu.Unlock()
	}
}

func (s *Store) allRecords() []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*record
	for _, r := range s.runs {
		for _, rec := range r.records {
			out = append(out, rec)
		}
	}
	return out
}
