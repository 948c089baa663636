package store

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// redoAll finishes the steps that a crash interrupted. It runs before the
// catalog is built, and looks at the disk only.
func (s *Store) redoAll() error {
	steps, err := s.readJournal()
	if err != nil {
		return err
	}
	for _, j := range steps {
		if err := s.redo(j); err != nil {
			return fmt.Errorf("finish the %s of %s: %w", j.Op, path.Join(j.Run, j.Name), err)
		}
		s.event("recover", path.Join(j.Run, j.Name), "finished the "+j.Op+" that was interrupted")
	}
	return nil
}

func (s *Store) redo(j *journal) error {
	switch j.Op {
	case opCommit:
		return s.redoCommit(j)
	case opRename:
		return s.redoRename(j)
	}
	if err := s.carryOn("recover:move", j); err != nil {
		return err
	}
	if err := s.show("recover:show", j); err != nil {
		return err
	}
	return s.revokeJournal(j)
}

// redoCommit rolls a commit forward. What was staged has to be what was judged
// and hashed: if it has changed since, the commit had been given up, and what
// lay under the natural name goes back there. If it is nowhere, it went
// elsewhere since, and nothing is left to do.
func (s *Store) redoCommit(j *journal) error {
	w := &swapping{j: j}
	out, in := w.outgoing(), w.incoming()
	at, err := s.inode(in.To)
	stranger := func() bool { return at != 0 && !in.renamed(at) && at != in.Copy && (out == nil || at != out.Ino) }
	if err == nil && stranger() {
		// Empty, it was made for a copy right before the crash.
		_ = s.disk.Rmdir("recover:swap", in.To)
		at, err = s.inode(in.To)
	}
	if err != nil {
		return err
	}
	if there := in.renamed(at) || in.Left || in.Copied && at == in.Copy; !there {
		from, err := s.inode(in.From)
		switch {
		case err != nil:
			return err
		case from != in.Ino:
			return s.endJournal(j)
		case stranger():
			s.log.Warn("another checkpoint has the name of a commit that was interrupted; what was staged is judged anew", "checkpoint", in.To)
			return s.endJournal(j)
		}
		described, err := s.asDescribed(j.ID, in.From)
		switch {
		case err != nil:
			return err
		case !described:
			back := j.inverse()
			if err := s.writeJournal(back); err != nil {
				return err
			}
			return s.redo(back)
		case out != nil && s.exchange && !in.Crosses && at == out.Ino && out.Copy == 0:
			err := s.disk.Rename("recover:swap", in.From, in.To, unix.RENAME_EXCHANGE)
			if err != nil && !refused(err) {
				return err
			}
		}
	}
	if err := s.carryOn("recover:swap", j); err != nil {
		return err
	}
	if err := s.show("recover:show", j); err != nil {
		return err
	}
	if out != nil && path.Dir(out.To) == trashDir {
		s.writeTrashNote(&trashed{ID: path.Base(out.To), Run: j.Run, Name: j.Name, Reason: out.Why, Deleted: s.clock.Now(), Valid: out.Version != ""})
	}
	return s.tidy("recover:tidy", j)
}

// asDescribed reports whether a staged tree is what its manifest says.
func (s *Store) asDescribed(id, tree string) (bool, error) {
	m, err := s.readManifest(id)
	if err == nil {
		err = s.matches(tree, m)
	}
	return err == nil, unreadOnly(err)
}
