package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// treeEntry is one inode below a directory.
type treeEntry struct {
	rel string
	st  disk.Stat
}

// walk lists everything below dir, directories before what is in them. What is
// mounted there is not of the tree: only the directory that it is mounted on is.
func (s *Store) walk(dir string) ([]treeEntry, error) { return s.walkTo(dir, disk.Deepest) }

// walkTo refuses a tree whose directories are nested deeper than so many.
func (s *Store) walkTo(dir string, deepest int) ([]treeEntry, error) {
	var out []treeEntry
	var visit func(rel string, depth int) error
	visit = func(rel string, depth int) error {
		if depth > deepest {
			return fmt.Errorf("list %s: directories nested deeper than %d: %w", dir, deepest, unix.ENAMETOOLONG)
		}
		list, err := s.disk.Describe(path.Join(dir, rel))
		if err != nil {
			return err
		}
		for _, e := range list {
			p := path.Join(rel, e.Name)
			out = append(out, treeEntry{p, e.Stat})
			if e.IsDir() && !e.Mounted {
				if err := visit(p, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, visit("", 0)
}

// clone makes at to a copy of the tree at from that shares its files: a hard
// link each, or a copy where the file system refuses a link. Directories are
// new; owner, mode, extended attributes (an ACL is one) and times come along.
func (s *Store) clone(op disk.Op, from, to string) error {
	st, err := s.disk.Stat(from)
	if err != nil {
		return err
	}
	if err := s.disk.Mkdir(op, to, 0o700); err != nil {
		return err
	}
	return s.fill(op, from, to, &st)
}

// fill does so for a directory at to that is there, and empty; st is that of from.
func (s *Store) fill(op disk.Op, from, to string, st *disk.Stat) error {
	tree, err := s.walk(from)
	if err != nil {
		return err
	}
	for _, e := range tree {
		src, dst := path.Join(from, e.rel), path.Join(to, e.rel)
		if e.st.Mounted {
			return fmt.Errorf("%s is a mountpoint, and cannot be saved anew; unmount it: %w", src, unix.EBUSY)
		}
		if e.st.IsDir() {
			err = s.disk.Mkdir(op, dst, 0o700)
		} else {
			err = s.share(op, src, dst, &e.st)
		}
		if err != nil {
			return err
		}
	}
	// Times last, from the inside out: making an entry changes its directory's.
	for i := len(tree) - 1; i >= 0; i-- {
		if e := tree[i]; e.st.IsDir() {
			if err := disk.CopyMeta(s.disk, op, path.Join(from, e.rel), path.Join(to, e.rel), e.st); err != nil {
				return err
			}
		}
	}
	return disk.CopyMeta(s.disk, op, from, to, *st)
}

// share gives a file a second name; a hard link may be refused by the file
// system (EPERM, EMLINK, EXDEV) or by fs.protected_hardlinks (EPERM).
func (s *Store) share(op disk.Op, from, to string, st *disk.Stat) error {
	err := s.disk.Link(op, from, to)
	if err == nil || !st.IsRegular() && !st.IsSymlink() {
		return err
	}
	for _, refused := range []error{unix.EPERM, unix.EMLINK, unix.EXDEV, unix.EOPNOTSUPP, unix.ENOSYS, unix.EACCES} {
		if !errors.Is(err, refused) {
			continue
		}
		if st.IsRegular() {
			return s.disk.Copy(op, from, to)
		}
		target, err := s.disk.Readlink(from)
		if err != nil {
			return err
		}
		return s.disk.Symlink(op, target, to)
	}
	return err
}

// removeAll removes a tree below the private directory, or a plain one, however
// deep. It fails with EBUSY before a mountpoint, and takes nothing from what is
// mounted there.
func (s *Store) removeAll(op disk.Op, dir string) error {
	st, err := s.disk.Stat(dir)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return s.unlink(op, dir, &st)
	}
	if err := s.empty(op, dir); err != nil {
		return err
	}
	return ignore(s.disk.Rmdir(op, dir), unix.ENOENT)
}

// empty removes what is in a directory.
func (s *Store) empty(op disk.Op, dir string) error {
	tree, err := s.walkTo(dir, math.MaxInt)
	if err != nil {
		return err
	}
	for i := len(tree) - 1; i >= 0; i-- {
		p := path.Join(dir, tree[i].rel)
		if tree[i].st.IsDir() {
			err = s.disk.Rmdir(op, p)
		} else {
			err = s.unlink(op, p, &tree[i].st)
		}
		if ignore(err, unix.ENOENT) != nil {
			return err
		}
	}
	return nil
}

// unlink removes a name and forgets the identity of an inode that loses its
// last one.
func (s *Store) unlink(op disk.Op, p string, st *disk.Stat) error {
	if err := s.disk.Unlink(op, p); err != nil {
		return err
	}
	if st.Nlink <= 1 {
		s.identities.forget(st)
		s.writeBack.unlinked(st)
	}
	return nil
}

// syncsAtOnce is how many files are synced at the same time: a file system that has
// a journal brings all that ask in the meantime to the disk in one go.
const syncsAtOnce = 8

// syncTree makes a tree durable: every file that fresh says is new, and then every
// directory, from the inside out.
func (s *Store) syncTree(op disk.Op, dir string, tree []treeEntry, fresh func(treeEntry) bool) error {
	if err := s.syncFiles(op, dir, tree, fresh); err != nil {
		return err
	}
	for i := len(tree) - 1; i >= 0; i-- {
		if e := tree[i]; e.st.IsDir() {
			if err := s.disk.Sync(op, path.Join(dir, e.rel)); err != nil {
				return err
			}
		}
	}
	return s.disk.Sync(op, dir)
}

// syncFiles syncs the files of a tree that are new. It returns when no sync is under
// way any more; after one has failed no other begins.
func (s *Store) syncFiles(op disk.Op, dir string, tree []treeEntry, fresh func(treeEntry) bool) error {
	var files []string
	for _, e := range tree {
		if e.st.IsRegular() && fresh(e) {
			files = append(files, path.Join(dir, e.rel))
		}
	}
	var (
		syncing sync.WaitGroup
		mu      sync.Mutex // guards the two below
		next    int
		failed  error
	)
	take := func(done error) (p string, more bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed = cmp.Or(failed, done); failed != nil || next == len(files) {
			return "", false
		}
		next++
		return files[next-1], true
	}
	for range min(syncsAtOnce, len(files)) {
		syncing.Go(func() {
			for p, more := take(nil); more; p, more = take(s.disk.Sync(op, p)) {
			}
		})
	}
	syncing.Wait()
	return failed
}
