package store

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A directory moves by a rename where the file system lets it, and else by
// copying: its files get a second name each (or are copied), then the first one
// goes. Overlay file systems refuse to rename a directory of a lower layer, some
// network file systems any directory, and no rename leads out of a btrfs
// subvolume or into another mount. What the kernel answers to the rename
// decides, each time.

// refused reports whether a rename failed because of what the directory is, and
// not because something went wrong.
func refused(err error) bool {
	for _, errno := range []error{unix.EXDEV, unix.EBUSY, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// holder runs f while nobody reads what is about to move, and afterwards makes
// known where it is.
type holder func(f func() error) error

func nobody(f func() error) error { return f() }

// moving holds those who read a version, nil for none, that moves to a place.
func moving(v *Version, to string) holder {
	if v == nil {
		return nobody
	}
	return func(f func() error) error {
		v.mu.Lock()
		defer v.mu.Unlock()
		err := f()
		if err == nil {
			v.path = to
		}
		return err
	}
}

// moveOf is the move of the directory at from; version is the one that it holds,
// nil for none.
func (s *Store) moveOf(from, to string, version *Version) move {
	m := move{From: from, To: to}
	if st, err := s.disk.Stat(from); err == nil && st.IsDir() {
		m.Ino = st.Ino
	}
	if version != nil {
		m.Version = version.ID
	}
	a, err := s.disk.Stat(dirOf(from))
	b, err2 := s.disk.Stat(dirOf(to))
	m.Crosses = err == nil && err2 == nil && a.Dev != b.Dev
	return m
}

// renamed reports whether the directory with an inode, at To, is the one that
// moves.
func (m *move) renamed(at uint64) bool { return at == m.Ino && !m.Crosses }

// carryOn takes the directories of a record from where they are to where they go.
// Names are durable when it returns.
func (s *Store) carryOn(op disk.Op, j *journal) error {
	for i := range j.Moves {
		if err := s.advance(op, j, i, nobody); err != nil {
			return err
		}
	}
	return nil
}

// advance brings the i-th directory of a record to where it goes. One that lies
// nowhere on its way is gone elsewhere since, and nothing is left to do.
func (s *Store) advance(op disk.Op, j *journal, i int, hold holder) error {
	m := &j.Moves[i]
	if m.Left {
		return nil
	}
	at, err := s.inode(m.To)
	if err != nil {
		return err
	}
	switch {
	case m.renamed(at):
		return s.arrived(op, m)
	case at != 0 && at == m.Rest:
		if err := s.removeAll(op, m.To); err != nil {
			return err
		}
	case at != 0 && at == m.Copy && m.Copied:
		return s.leaveBehind(op, j, m, hold)
	case at != 0 && at != m.Copy:
		// An empty directory is what a crash leaves right after it was made.
		_ = s.disk.Rmdir(op, m.To)
	}
	from, err := s.whereabouts(m)
	if err != nil {
		return err
	}
	if from == "" {
		return s.arrived(op, m)
	}
	err = unix.EXDEV
	if m.Copy == 0 && !m.Crosses {
		err = hold(func() error { return s.renameDir(op, from, m.To) })
	}
	if err == nil {
		return s.arrived(op, m)
	}
	if !refused(err) {
		return err
	}
	if e := s.copyDir(op, j, m, from); e != nil {
		return errors.Join(err, e)
	}
	return s.leaveBehind(op, j, m, hold)
}

// whereabouts is where the directory of a move lies that has not arrived; "" when
// it is nowhere on its way.
func (s *Store) whereabouts(m *move) (string, error) {
	for _, p := range []string{m.From, m.Via} {
		if p == "" {
			continue
		}
		at, err := s.inode(p)
		if err != nil || at == m.Ino {
			return p, err
		}
	}
	return "", nil
}

// arrived makes a move durable, and removes what was left over on the way.
func (s *Store) arrived(op disk.Op, m *move) error {
	at, err := s.inode(m.From)
	if err != nil {
		return err
	}
	if at != 0 && at == m.Rest {
		if err := s.removeAll(op, m.From); err != nil {
			return err
		}
	}
	changed := []string{m.To}
	if m.Copied {
		changed = append(changed, m.From) // no rename, which survives as a whole
	}
	for _, p := range changed {
		if err := ignore(s.disk.Sync(op, dirOf(p)), unix.ENOENT); err != nil {
			return fmt.Errorf("%w: %w", errNotDurable, err)
		}
	}
	return nil
}

// renameDir renames a directory to a name that is free.
func (s *Store) renameDir(op disk.Op, from, to string) error {
	err := s.disk.Rename(op, from, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// The file system does not know the flag; nobody else makes this name.
	if _, gone := s.disk.Stat(to); gone == nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, unix.EEXIST)
	}
	return s.disk.Rename(op, from, to, 0)
}

// copyDir makes at m.To the directory that takes the place of the one at from:
// whole, durable, and named as such in the record. The record has to be there; it
// says which directory is being filled before anything is in it.
func (s *Store) copyDir(op disk.Op, j *journal, m *move, from string) error {
	st, err := s.disk.Stat(from)
	if err != nil {
		return err
	}
	if st.Mounted {
		return fmt.Errorf("%s is a mountpoint: what is mounted there is not a checkpoint of this directory", from)
	}
	m.From = from
	if m.Copy == 0 {
		if err := s.disk.Mkdir(op, m.To, 0o700); err != nil {
			return err
		}
	}
	err = s.fillCopy(op, j, m, &st)
	if err == nil {
		return nil
	}
	m.Copied = false
	if e := s.removeAll(op, m.To); e != nil {
		return errors.Join(err, e)
	}
	m.Copy = 0
	return err
}

func (s *Store) fillCopy(op disk.Op, j *journal, m *move, st *disk.Stat) error {
	to, err := s.disk.Stat(m.To)
	if err != nil {
		return err
	}
	if m.Copy != to.Ino {
		m.Copy = to.Ino
		if err := s.writeJournal(j); err != nil {
			return err
		}
	} else if err := s.empty(op, m.To); err != nil { // begun before a crash
		return err
	}
	if err := s.fill(op, m.From, m.To, st); err != nil {
		return err
	}
	tree, err := s.walk(m.To)
	if err != nil {
		return err
	}
	if err := s.syncTree(op, m.To, tree, func(treeEntry) bool { return true }); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	if err := s.disk.Sync(op, dirOf(m.To)); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	if err := s.describeAnew(op, m.Version, m.To); err != nil {
		return err
	}
	m.Copied = true
	return s.writeJournal(j)
}

// leaveBehind ends a move by copying: from here on the copy is the directory, and what
// it was made of goes. The record says so before anything else may get that
// inode number.
func (s *Store) leaveBehind(op disk.Op, j *journal, m *move, hold holder) error {
	if err := hold(func() error { return nil }); err != nil {
		return err
	}
	at, err := s.inode(m.From)
	if err == nil && at == m.Ino {
		err = s.removeAll(op, m.From)
	}
	if err != nil {
		return err
	}
	if err := s.arrived(op, m); err != nil {
		return err
	}
	m.Left = true
	return s.writeJournal(j)
}

// describeAnew writes the inodes into a version's manifest that its files have
// after they were copied.
func (s *Store) describeAnew(op disk.Op, version, dir string) error {
	if version == "" {
		return nil
	}
	m, err := s.readManifest(version)
	if err != nil {
		s.log.Warn("a version is verified again at the next mount", "version", version, "err", err)
		return nil
	}
	st, err := s.disk.Stat(dir)
	if err != nil {
		return err
	}
	m.DirIno = st.Ino
	for i := range m.Files {
		f := &m.Files[i]
		if st, err = s.disk.Stat(path.Join(dir, f.Path)); err != nil {
			return err
		}
		if st.Size == f.Size {
			f.Ino, f.MtimeNS = st.Ino, st.Mtime.Nano()
		}
	}
	return s.writeManifest(op, m)
}

// reread takes over what describeAnew wrote down. Needs no lock of the version.
func (s *Store) reread(v *Version) {
	if v == nil {
		return
	}
	m, err := s.readManifest(v.ID)
	if err != nil {
		return // said by describeAnew
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.DirIno, v.Files = m.DirIno, m.Files
}

// inode is that of the directory at a path, 0 when there is none.
func (s *Store) inode(p string) (uint64, error) {
	st, err := s.disk.Stat(p)
	if err != nil || !st.IsDir() {
		return 0, unreadOnly(err)
	}
	return st.Ino, nil
}

// lies reports whether a directory with an inode is known to lie at a path.
func (s *Store) lies(p string, ino uint64) bool {
	at, err := s.inode(p)
	return err == nil && at == ino
}

// moveVersion moves a checkpoint's directory; v may be nil. Whoever reads the
// version meanwhile waits for one system call at most.
func (s *Store) moveVersion(op disk.Op, v *Version, from, to string) error {
	hold := moving(v, to)
	err := hold(func() error { return s.renameDir(op, from, to) })
	if !refused(err) {
		return err
	}
	run, name := split(from)
	if private(from) {
		run, name = "", ""
	}
	j := &journal{Op: opMove, ID: s.newID(), Run: run, Name: name, Moves: []move{s.moveOf(from, to, v)}}
	m := &j.Moves[0]
	e := s.writeJournal(j)
	if e == nil {
		e = s.copyDir(op, j, m, from)
	}
	if e != nil {
		e = errors.Join(err, e)
		if m.Copy == 0 { // nothing is left of it
			e = errors.Join(e, s.revokeJournal(j))
		}
		return e
	}
	e = s.leaveBehind(op, j, m, hold)
	s.reread(v)
	if e == nil {
		e = s.endJournal(j)
	}
	if e != nil {
		s.report("remove what was moved elsewhere; it is tried again", e)
		s.remains.add(from, j)
		s.spawn(func() { s.report("remove what was moved elsewhere", s.clearRemains(from)) })
	}
	return nil
}

// remains are directories that were moved by copying and could not be removed
// where they were, by path. Its mutex is held while one is, and is innermost.
type remains struct {
	mu    sync.Mutex
	steps map[string]*journal
}

func (r *remains) add(p string, j *journal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.steps == nil {
		r.steps = map[string]*journal{}
	}
	r.steps[p] = j
}

// has reports whether anything is left at a path.
func (r *remains) has(p string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps[p] != nil
}

// at reports whether anything is left of moves.
func (r *remains) at(moves []move) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(moves, func(m move) bool { return r.steps[m.From] != nil })
}

func (r *remains) paths() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.steps))
}

// clearRemains tries once more to remove what is left at a path.
func (s *Store) clearRemains(p string) error {
	s.remains.mu.Lock()
	defer s.remains.mu.Unlock()
	j := s.remains.steps[p]
	if j == nil {
		return nil
	}
	if err := s.carryOn("move:remains", j); err != nil {
		return err
	}
	delete(s.remains.steps, p)
	return s.endJournal(j)
}
