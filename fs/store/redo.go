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
	at := s.inode(in.To)
	if at != 0 && !in.renamed(at) && at != in.Copy && (out == nil || at != out.Ino) {
		// Empty, it was made for a copy right before the crash.
		_ = s.disk.Rmdir("recover:swap", in.To)
		at = s.inode(in.To)
	}
	switch there := in.renamed(at) || in.Left || in.Copied && at == in.Copy; {
	case there:
	case s.inode(in.From) != in.Ino:
		return s.endJournal(j)
	case at != 0 && at != in.Copy && (out == nil || at != out.Ino):
		s.log.Warn("another checkpoint has the name of a commit that was interrupted; what was staged is judged anew", "checkpoint", in.To)
		return s.endJournal(j)
	case !s.asDescribed(j.ID, in.From):
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
	if err := s.carryOn("recover:swap", j); err != nil {
		return err
	}
	if err := s.show("recover:show", j); err != nil {
		return err
	}
	if out != nil && path.Dir(out.To) == trashDir && s.inode(out.To) != 0 {
		s.writeTrashNote(&trashed{ID: path.Base(out.To), Run: j.Run, Name: j.Name, Reason: out.Why, Deleted: s.clock.Now(), Valid: out.Version != ""})
	}
	return s.tidy("recover:tidy", j)
}

// asDescribed reports whether a staged tree is what its manifest says.
func (s *Store) asDescribed(id, tree string) bool {
	m, err := s.readManifest(id)
	return err == nil && s.matches(tree, m) == nil
}
