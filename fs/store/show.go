package store

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// shown is a name in the run under which a file of a spread checkpoint lies: the
// inode that it had before a step and the one that it gets, 0 for none.
type shown struct {
	Name string `json:"name"`
	Was  uint64 `json:"was,omitempty"`
	Now  uint64 `json:"now,omitempty"`
}

// showing lists the names in the run that a commit changes: those of the version
// before and those of the next. Needs rec.mu.
func (s *Store) showing(rec *record, m *Manifest) ([]shown, error) {
	if !rec.spread() {
		return nil, nil
	}
	var list []shown
	at := func(name string) *shown {
		i := slices.IndexFunc(list, func(n shown) bool { return n.Name == name })
		if i < 0 {
			i, list = len(list), append(list, shown{Name: name})
		}
		return &list[i]
	}
	if rec.natural {
		before, err := s.filesShown(rec)
		if err != nil {
			return nil, err
		}
		for _, e := range before {
			at(e.Name)
		}
	}
	for _, f := range m.Files {
		at(f.Path).Now = f.Ino
	}
	for i := range list {
		st, err := s.disk.Stat(path.Join(rec.run.path, list[i].Name))
		if err == nil {
			list[i].Was = st.Ino
		} else if !isGone(err) {
			return nil, err
		}
	}
	return list, nil
}

// show gives the names in the run to the files that are kept in the home of a
// spread checkpoint, and takes away those that have none there, durably. It asks
// what is, and not what was done: so it finishes a commit and takes one back, and
// does no harm when it is done twice. A file that somebody has put under a name
// meanwhile stays.
func (s *Store) show(op disk.Op, j *journal) error {
	if len(j.Shown) == 0 {
		return nil
	}
	for _, n := range j.Shown {
		if err := s.showOne(op, j.Home, j.Run, n); err != nil {
			return fmt.Errorf("show %s: %w", path.Join(j.Run, n.Name), err)
		}
	}
	if err := s.disk.Sync(op, j.Run); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	return nil
}

func (s *Store) showOne(op disk.Op, home, run string, n shown) error {
	from, to := path.Join(home, n.Name), path.Join(run, n.Name)
	want, err := s.disk.Stat(from)
	if ignore(err, unix.ENOENT) != nil {
		return err
	}
	gone := err != nil
	have, err := s.disk.Stat(to)
	if ignore(err, unix.ENOENT) != nil {
		return err
	}
	free := err != nil
	switch {
	case free && gone, !free && !gone && s.sameFile(&want, &have):
		return nil
	case !free && !s.replaceable(&want, &have, n):
		s.log.Warn("something else has the name of a checkpoint's file; it is left there", "file", to)
		return nil
	case gone:
		return s.unlink(op, to, &have)
	}
	if !free {
		s.linger(to)
	}
	if err := s.give(op, from, to, &want); err != nil {
		return err
	}
	if !free && have.Nlink <= 1 {
		s.identities.forget(&have)
	}
	return nil
}

// replaceable reports whether what lies under a name is what a step found there,
// or has put there.
func (s *Store) replaceable(want, have *disk.Stat, n shown) bool {
	if !have.IsRegular() {
		return false
	}
	linked := want.Nlink > 1 || want.Ino == 0
	return have.Ino == n.Was || have.Ino == n.Now || !linked
}

// sameFile reports whether the file under a name in the run is the one that is
// kept, or the copy of it that a file system without links needs.
func (s *Store) sameFile(kept, shown *disk.Stat) bool {
	if kept.Dev == shown.Dev && kept.Ino == shown.Ino {
		return true
	}
	return kept.Nlink == 1 && shown.IsRegular() && kept.Size == shown.Size && kept.Mtime == shown.Mtime
}

// copyShown is where a copy lies in the run of a committed file of a spread
// checkpoint, for lack of links; "" where there is none. rec may be nil. Needs its mu.
func (s *Store) copyShown(rec *record, b string) string {
	if rec == nil || !rec.spread() || dirOf(b) != rec.kept {
		return ""
	}
	p := path.Join(rec.run.path, path.Base(b))
	kept, err := s.disk.Stat(b)
	if err != nil || kept.Nlink > 1 {
		return ""
	}
	if shown, err := s.disk.Stat(p); err != nil || !shown.IsRegular() || shown.Ino == kept.Ino && shown.Dev == kept.Dev {
		return ""
	}
	return p
}

// give gives a file a second name, durably and in one step for whoever looks at that.
func (s *Store) give(op disk.Op, from, to string, st *disk.Stat) error {
	err := s.giveFrom(op, path.Join(stagingDir, s.newID()+copySuffix), from, to, st)
	if errors.Is(err, unix.EXDEV) {
		return s.giveFrom(op, path.Join(dirOf(to), ".ckptfs-"+s.newID()), from, to, st)
	}
	return err
}

// giveFrom does so by way of a name that nobody else has. A copy is durable before
// it gets the name.
func (s *Store) giveFrom(op disk.Op, aside, from, to string, st *disk.Stat) error {
	err := s.share(op, from, aside, st)
	if err == nil {
		err = s.syncCopy(op, aside, st)
	}
	if err == nil {
		err = s.disk.Rename(op, aside, to, 0)
	}
	if err != nil {
		return errors.Join(err, s.removeAll(op, aside))
	}
	return nil
}

func (s *Store) syncCopy(op disk.Op, p string, of *disk.Stat) error {
	st, err := s.disk.Stat(p)
	if err != nil || st.Ino == of.Ino && st.Dev == of.Dev {
		return err
	}
	if err := s.disk.Sync(op, p); err != nil {
		return fmt.Errorf("%w: %w", errNotDurable, err)
	}
	return nil
}

// filesShown lists the files in the run of a spread checkpoint. Needs rec.mu.
func (s *Store) filesShown(rec *record) ([]disk.Entry, error) {
	if !rec.spread() {
		return nil, nil
	}
	return s.liveFilesIn(rec, rec.home())
}

// hide takes the names in the run away from a checkpoint that is kept elsewhere by
// now. Needs rec.mu.
func (s *Store) hide(rec *record, list []disk.Entry, kept string) error {
	var errs []error
	for _, e := range list {
		at := path.Join(rec.run.path, e.Name)
		have, err := s.disk.Stat(at)
		if isGone(err) {
			continue
		}
		var was disk.Stat
		if err == nil {
			was, err = s.disk.Stat(path.Join(kept, e.Name))
		}
		if err == nil && s.sameFile(&was, &have) {
			err = s.unlink("files:hide", at, &have)
		}
		errs = append(errs, err)
		s.opts.Notify.Entry(rec.run.path, e.Name)
	}
	return errors.Join(errs...)
}
