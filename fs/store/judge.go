package store

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/proc"
	"ckptfs/layout"
	"ckptfs/layout/format"
)

// verdict is what one look at a staged tree found.
type verdict struct {
	report layout.Report
	tree   []treeEntry
	err    error

	writable []string // strangers that somebody can still write to
	target   *record  // of a pointer: what it names and is not committed
}

func (v *verdict) whole() bool { return v.err == nil && v.report.Valid() }

// inspectSave reads the structure of every file of a staged tree.
func (s *Store) inspectSave(rec *record, sv *save) verdict {
	tree, err := s.walk(sv.tree())
	if err != nil {
		return verdict{err: err}
	}
	report, err := rec.run.layout().Inspect(s.disk.Sub(sv.tree()), rec.match)
	if what := s.marked(rec); what != "" {
		report.Missing = append(report.Missing, what)
	}
	report.Problems = append(report.Problems, s.tainted(sv, tree)...)
	if rec.spread() && len(report.Files) == 0 {
		report.Missing = append(report.Missing, rec.entry)
	}
	v := verdict{tree: tree, err: err}
	if rec.pointer() {
		target, missing := s.pointsAt(rec, sv.tree())
		if missing != "" {
			report.Missing, v.target = append(report.Missing, missing), target
		}
	}
	v.report = report
	return v
}

// recheck is how often a save is looked at again that waits for its processes.
const recheck = time.Second

// consider judges a save: it seals and commits it, or says what it lacks and
// when to look again.
//
// busy says that only a writer is against it that the kernel may be about to let
// go of; see conclude.
func (s *Store) consider(sv *save) (busy bool) {
	rec := s.lockOf(sv)
	if !s.ripe(rec, sv) {
		rec.mu.Unlock()
		s.wake()
		return false
	}
	changes := sv.changes
	rec.mu.Unlock()

	s.recognise(rec, sv.tree())
	v := s.inspectSave(rec, sv) // reads only, without a lock
	writer, doubts := "", ""
	if v.err == nil {
		writer = s.unwritable(sv, &v)
	}
	if v.whole() {
		doubts = s.doubts(sv)
	}

	rec = s.lockOf(sv)
	defer s.wake()
	defer rec.mu.Unlock()
	if sv.sealed || rec.current() != sv {
		return false
	}
	if sv.changes != changes {
		s.schedule(sv, s.pause(sv))
		return false
	}
	sv.missing, sv.problems = v.report.Missing, v.report.Problems
	switch {
	case v.err != nil:
		sv.failed = v.err.Error()
		s.report("look into a save", v.err)
	case writer != "":
		sv.missing = append(sv.missing, writer)
		s.schedule(sv, s.patienceWithWriters(sv))
		return true
	case sv.forced:
		s.seal(sv, v)
	case !v.report.Valid() && rec.pointer():
		if !s.giveUpPointer(sv, v.target) {
			s.schedule(sv, recheck)
		}
	case !v.report.Valid():
		s.considerRemoval(sv, v)
	case doubts != "":
		sv.failed = doubts
	default:
		if why, again := s.waits(sv, v); why != "" {
			sv.missing = append(sv.missing, s.unwritten(sv, v)...)
			if why != sv.failed && !slices.Contains(sv.missing, why) {
				sv.missing = append(sv.missing, why)
			}
			if again > 0 {
				s.schedule(sv, again)
			}
			return false
		}
		s.seal(sv, v)
	}
	return false
}

// patienceWithWriters is how long somebody who can still write to a save is given
// before it is looked at again. The kernel lets go of a file a moment after its
// last close, and a checkpoint of one file waits for nothing else. Needs rec.mu.
func (s *Store) patienceWithWriters(sv *save) time.Duration {
	if sv.rec.single() && s.clock.Now().Sub(sv.changed) < releaseBound {
		return releaseSoon
	}
	return recheck
}

// ripe reports whether a save is to be judged now: it has changed something, is
// quiet or need not be, and nobody writes to it but to strangers. Needs rec.mu.
func (s *Store) ripe(rec *record, sv *save) bool {
	if sv.sealed || rec.current() != sv || rec.stuck != nil {
		return false
	}
	if sv.again { // nothing was lost: as if it had not been tried
		sv.again, sv.failed, sv.cause = false, "", nil
	}
	at := s.pause(sv) - s.clock.Now().Sub(sv.changed)
	now := sv.boundary || sv.forced || sv.hurry
	if at > 0 && !now {
		s.schedule(sv, at)
		return false
	}
	s.detachClosed(rec, s.clock.Now().Add(-lingers))
	if sv.untouched() {
		sv.missing, sv.hurry = s.writerNames(rec), false
		s.discardIfUntouched(sv)
		if rec.current() == sv && len(rec.drafts) == 0 {
			s.schedule(sv, recheck) // what it is a clone of is being committed
		}
		return false
	}
	if sv.missing = s.awaited(rec); len(sv.missing) > 0 {
		if s.onlyClosed(rec) {
			s.schedule(sv, lingers)
		}
		return false // the last release schedules again
	}
	if s.growing(rec) && !now {
		sv.missing = s.writerNames(rec)
		s.schedule(sv, s.cfg.Save.Settle)
		return false
	}
	return true
}

// waits says what a valid, quiet save still waits for, and when to ask again
// (0: not before it changes). Needs rec.mu.
//
// A part of the core files, or what goes with them, is not committed on the
// word of an fsync: it may be that of a trainer in the middle of a save, who
// syncs after each file, and the version would be a mix of two saves.
func (s *Store) waits(sv *save, v verdict) (why string, again time.Duration) {
	rec := sv.rec
	whole := len(sv.found) == 0 || s.coreRewritten(sv, &v.report)
	switch {
	case sv.declared:
		return "", 0
	case len(sv.held) > 0:
		return Words(slices.Sorted(maps.Values(sv.held))), 0 // the name holds what is older than the rest
	case rec.single():
		return sv.failed, 0
	case sv.boundary && whole:
		return s.waitsWhole(sv, v)
	}
	if sv.failed != "" {
		return sv.failed, 0
	}
	for tgid, w := range sv.writers {
		if end := w.End(); end.Fate == proc.Died && sv.authors[tgid] {
			sv.failed = end.String() + " before the save had settled"
			if sv.died == "" {
				sv.died = sv.failed
				if err := s.writeSaveNote("save:died", sv, true); err != nil {
					sv.died = "" // the next judge tries again
					s.report("write down why a save is not committed", err)
				}
			}
			return sv.failed, 0
		}
	}
	if sv.onlyRemoves() {
		return s.waitsForRemoval(sv)
	}
	switch {
	case whole:
		return s.waitsWhole(sv, v)
	case sv.mixed:
		return "all core files: some are of an attempt that was given up", 0
	case len(sv.order) > 0 || s.overwrites(sv):
		if sv.ended() {
			return "", 0
		}
		return "the end of the processes that changed it", recheck
	}
	return "", 0
}

// waitsWhole says what a save with all its core files still waits for. Needs
// rec.mu.
func (s *Store) waitsWhole(sv *save, v verdict) (why string, again time.Duration) {
	if left := patience - s.clock.Now().Sub(sv.changed); sv.torn && left > 0 && !sv.ended() {
		return "the other processes: one has written its core file again", min(left, recheck)
	}
	return s.learned(sv, v)
}

// unwritten says what a valid save has not written that earlier ones have, or
// its own name held. Needs rec.mu.
func (s *Store) unwritten(sv *save, v verdict) (out []string) {
	if old := s.oldCore(sv, &v.report); len(old) > 0 {
		out = append(out, few(old)+" of this save")
	}
	if lacking := s.unusual(sv, v); lacking != "" {
		out = append(out, lacking)
	}
	return out
}

// few names up to three of several files.
func few(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// ended reports whether every process that changed a save has exited with 0.
// Needs rec.mu.
func (sv *save) ended() bool {
	for _, w := range sv.writers {
		if w.End().Fate != proc.ExitedZero {
			return false
		}
	}
	return !sv.recovered
}

// overwrites reports whether the attempt replaced a file that it found.
func (s *Store) overwrites(sv *save) bool {
	for rel := range sv.found {
		if sv.rewritten[rel] {
			return true
		}
	}
	return false
}

// onlyClosed reports whether all that keeps a save open are handles that live on
// after their close. Needs rec.mu.
func (s *Store) onlyClosed(rec *record) bool {
	for _, d := range rec.drafts {
		if !d.visible || !d.flushed() {
			return false
		}
	}
	return true
}

func (s *Store) writerNames(rec *record) []string {
	var names []string
	for rel, d := range rec.drafts {
		if len(d.handles) > 0 {
			names = append(names, rel+" (being written)")
		}
	}
	return names
}

// unwritable is the lease test: it returns "" when nobody can write to any file
// that is new in the save, by whatever descriptor or mapping, those that the
// kernel hides included. Otherwise it says which file somebody can. Strangers
// are noted in the verdict: the commit takes copies of them.
//
// Where the backing has no leases (network file systems, or files of another
// user), two looks a moment apart have to agree; the second is the commit's.
func (s *Store) unwritable(sv *save, v *verdict) string {
	v.writable = nil
	return s.writable(sv.tree(), v.tree, func(rel string) bool {
		stranger := sv.rec.stranger(rel)
		if stranger {
			v.writable = append(v.writable, rel)
		}
		return stranger
	})
}

// writable names the first file of a tree that somebody can write to, and that
// is not excused.
func (s *Store) writable(dir string, tree []treeEntry, excused func(rel string) bool) string {
	for _, e := range tree {
		if !e.st.IsRegular() {
			continue
		}
		f, err := s.disk.Open("lease", path.Join(dir, e.rel), unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Sprintf("%s cannot be opened: %v", e.rel, err)
		}
		writable := s.disk.Writable(f)
		f.Close()
		if writable && !excused(e.rel) {
			return e.rel + " can still be written by a process that has it open or mapped"
		}
	}
	return ""
}

// unchanged reports whether a staged tree is as it was looked at, but for times
// that were set: the check of a commit that what it hashed is what was judged.
func (s *Store) unchanged(sv *save, before []treeEntry) error {
	for _, e := range before {
		if !e.st.IsRegular() {
			continue
		}
		now, err := s.disk.Stat(path.Join(sv.tree(), e.rel))
		if err != nil {
			return err
		}
		if sv.timed.is(now.Ino, now.Mtime.Nano()) {
			now.Mtime = e.st.Mtime
		}
		if !sameContent(&now, &e.st) {
			return fmt.Errorf("%s changed while it was being committed", e.rel)
		}
	}
	return nil
}

func sameContent(a, b *disk.Stat) bool {
	return a.Ino == b.Ino && a.Size == b.Size && a.Mtime == b.Mtime
}

// unproven says why a file that a process left open at exit may not be
// published; "" when its format proves it whole.
func (s *Store) unproven(d *draft) string {
	r := s.checkFile(d.path(), d.rel, format.Check)
	switch {
	case r.Problem != "":
		return r.Problem
	case !r.Proven:
		return "its format (" + r.Format + ") cannot prove it whole"
	}
	return ""
}

// lacks says in one line what keeps a save from being committed. Needs rec.mu.
func (sv *save) lacks() []string {
	var out []string
	for _, m := range sv.missing {
		out = append(out, strings.TrimSpace(m))
	}
	out = append(out, sv.problems...)
	if sv.failed != "" {
		out = append(out, sv.failed)
	}
	return out
}
