package store

import (
	"errors"
	"path"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Processes that were at work in the directory before it was mounted, and
// containers that have it by another way, can go on changing what lies beneath
// the mount. Runs and the checkpoints in them are watched.
//
// An event only says where to look. What is looked at is the state, under the
// record's mu: as our own calls change the disk and the catalog together under
// it, what differs from the manifest then was changed by somebody else. The one
// event that is believed by itself is that bytes were written in a committed
// directory, for that we never do.
//
// A checkpoint that was changed outside is resolved by no view from that moment
// on. When it has been quiet for a while, and nobody has it open for writing, it
// is verified by its files, as at a first mount.
type watching struct {
	due   chan string // checkpoints to look at again
	blind atomic.Bool // not every directory is watched: they are looked at once a minute
}

// news is what is known to have happened to a checkpoint.
type news int

const (
	nothing    news = iota // it is just looked at
	cameOrWent             // of what is in it, or its own, came or went
	written                // a file was written where it is
)

// watchOutside is the goroutine that owns the watcher.
func (s *Store) watchOutside(w disk.Watcher) {
	defer func() { s.report("end watching the directory", w.Close()) }()
	s.surveyAll()
	for {
		select {
		case <-s.stop:
			return
		case p := <-s.watching.due:
			s.look(p, nothing)
		case e, ok := <-w.Events():
			if !ok {
				return
			}
			s.noticed(e)
		}
	}
}

// noticed looks at what an event is about.
func (s *Store) noticed(e disk.Event) {
	if e.Lost {
		s.log.Warn("too many changes at once: everything is looked at")
		s.surveyAll()
		return
	}
	if at := s.locate(e.Dir); at.rec != nil && (e.Name == "" || !at.rec.spread()) {
		what := cameOrWent
		if e.Wrote {
			what = written
		}
		s.look(at.rec.where(), what)
		if !e.Wrote { // the mode or the owner, perhaps
			s.opts.Notify.File(path.Join(e.Dir, e.Name))
		}
		return
	}
	s.surveyName(e.Dir, e.Name)
}

// where is the natural path of a record for one who holds no lock.
func (r *record) where() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.path()
}

// surveyAll looks at every checkpoint that is known, and for others.
func (s *Store) surveyAll() {
	s.survey("")
	for _, r := range s.runsSorted() {
		there := map[string]bool{}
		if list, err := s.disk.ReadDir(s.pathOf(r)); err == nil {
			for _, e := range list {
				there[e.Name] = true
			}
		}
		for _, rec := range s.recordsOf(r) {
			if rec.spread() || !there[rec.name] { // the others were looked at by their names
				s.look(rec.where(), nothing)
			}
		}
	}
}

// survey watches a plain directory and looks at what is in it. Watched are runs,
// and what may become one: the directories at the top.
func (s *Store) survey(dir string) {
	if s.runAt(dir) != nil || dirOf(dir) == "" {
		s.watch(dir, false)
	}
	list, err := s.disk.ReadDir(dir)
	if err != nil {
		s.report("look for changes", ignore(err, unix.ENOENT))
		return
	}
	for _, e := range list {
		switch e.Type {
		case unix.S_IFDIR, unix.S_IFLNK, unix.S_IFREG, 0:
			s.surveyName(dir, e.Name)
		}
	}
}

// surveyName looks at one name of a plain directory.
func (s *Store) surveyName(dir, name string) {
	p := path.Join(dir, name)
	if private(p) || s.stopped() {
		return
	}
	st, err := s.disk.Stat(p)
	if _, _, ok := s.match(dir, name, false); ok && (err != nil || !st.IsDir()) {
		s.noteAlias(p)
		s.surveyFile(dir, name, err == nil && st.IsRegular())
		return
	}
	if _, _, ok := s.match(dir, name, true); ok {
		s.noteAlias(p)
		s.look(p, cameOrWent)
		return
	}
	if err == nil && !st.IsDir() {
		return
	}
	for _, r := range s.runsBelow(p) { // they may have gone with it
		for _, rec := range s.recordsOf(r) {
			s.look(rec.where(), cameOrWent)
		}
	}
	if err == nil && s.ours(p, &st) && !s.ignored(dir, name) {
		s.survey(p)
	}
}

// runsBelow lists the runs at a path and below it.
func (s *Store) runsBelow(p string) (list []*run) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for at, r := range s.runs {
		if below(at, p) {
			list = append(list, r)
		}
	}
	return list
}

// surveyFile looks at a name of a run that is that of a spread checkpoint's file.
func (s *Store) surveyFile(dir, name string, there bool) {
	rec := s.locate(path.Join(dir, name)).rec
	if there && (rec == nil || !rec.spread()) {
		rec = s.checkpoint(dir, name, false)
	}
	if rec != nil && rec.spread() {
		s.lookFiles(rec, cameOrWent)
	}
}

func (s *Store) pathOf(r *run) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return r.path
}

// ours reports whether it is a directory that checkpoints are looked for in.
func (s *Store) ours(p string, st *disk.Stat) bool {
	return st.IsDir() && !(st.Mounted && s.foreign(split(p)))
}

// watch begins to watch one directory.
func (s *Store) watch(dir string, content bool) {
	err := s.opts.Outside.Watch(dir, content)
	if errors.Is(err, unix.ENOSPC) && s.watching.blind.CompareAndSwap(false, true) {
		s.log.Warn("not all directories can be watched for changes from outside; they are looked at once a minute. " +
			"Raise fs.inotify.max_user_watches to have them watched")
	}
	if ignore(err, unix.ENOSPC, unix.ENOENT, unix.ENOTDIR) != nil {
		s.report("watch a directory", err)
	}
}

// watchTree watches a checkpoint as it lies there now.
func (s *Store) watchTree(p string) {
	s.opts.Outside.Unwatch(p)
	s.watch(p, true)
	tree, err := s.walk(p)
	if err != nil {
		return // it is gone, and looked at again
	}
	for _, e := range tree {
		if e.st.IsDir() {
			s.watch(path.Join(p, e.rel), true)
		}
	}
}

// stopped reports whether the store is being closed.
func (s *Store) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// lookLaterAt has a checkpoint looked at again.
func (s *Store) lookLaterAt(p string, after time.Duration) {
	s.clock.AfterFunc(after, func() {
		select {
		case s.watching.due <- p:
		case <-s.stop:
		}
	})
}

// Watched reports whether every change from outside is heard of.
func (s *Store) Watched() bool { return s.opts.Outside != nil && !s.watching.blind.Load() }

// unwatched is what status says of directories that are not watched.
func (s *Store) unwatched() string {
	switch {
	case s.opts.Mountpoint == "":
	case s.opts.Outside == nil:
		return "changes from outside are found at the next mount only"
	case s.watching.blind.Load():
		return "changes from outside are looked for once a minute: there are more directories than fs.inotify.max_user_watches allows"
	}
	return ""
}
