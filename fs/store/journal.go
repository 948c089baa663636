package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// journal is one step that takes more than one call to the disk. The record is
// written and synced before the first of them and removed after the last;
// directories are recognised by inode, so that redoing what was done is
// harmless.
type journal struct {
	Op     string `json:"op"`
	ID     string `json:"id"` // of the save
	Run    string `json:"run"`
	Name   string `json:"name"`
	NewIno uint64 `json:"new_ino"`           // the staged directory
	OldIno uint64 `json:"old_ino,omitempty"` // what lay under the natural name; 0 when nothing did
	Aside  string `json:"aside,omitempty"`   // where that goes
	Why    string `json:"why,omitempty"`     // to the trash
}

const opCommit = "commit"

func journalPath(id string) string { return path.Join(journalDir, id+".json") }

func (s *Store) writeJournal(j *journal) error {
	b, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode journal: %w", err)
	}
	return s.writeFile("commit:journal", journalPath(j.ID), append(b, '\n'), true)
}

func (s *Store) endJournal(j *journal) error {
	return ignore(s.disk.Unlink("commit:done", journalPath(j.ID)), unix.ENOENT)
}

// revokeJournal takes a record back whose step did not come about, durably: a
// power cut must not bring it back.
func (s *Store) revokeJournal(j *journal) error {
	if err := s.endJournal(j); err != nil {
		return err
	}
	return s.disk.Sync("commit:revoke", journalDir)
}

// journaled reports whether a step of a save was begun and not ended.
func (s *Store) journaled(id string) bool {
	_, err := s.disk.Stat(journalPath(id))
	return err == nil
}

// readJournal returns the records that a crash left. One that cannot be read
// was never synced: its step had not begun.
func (s *Store) readJournal() ([]*journal, error) {
	list, err := s.disk.ReadDir(journalDir)
	if err != nil {
		return nil, err
	}
	var out []*journal
	for _, e := range list {
		p := path.Join(journalDir, e.Name)
		var j *journal
		b, err := s.readFile(p, maxPrivate)
		if err == nil {
			j, err = parseJournal(e.Name, b)
		}
		if err != nil {
			s.log.Warn("a journal record is not whole; its step had not begun", "record", p, "err", err)
			if err := s.removeAll("recover:journal", p); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, j)
	}
	return out, nil
}

func parseJournal(file string, b []byte) (*journal, error) {
	j := new(journal)
	if err := json.Unmarshal(b, j); err != nil {
		return nil, err
	}
	return j, j.valid(file)
}

// valid refuses records that would lead anywhere but where a commit goes.
func (j *journal) valid(file string) error {
	within := func(p, dir string) bool { return path.Dir(p) == dir && path.Clean(p) == p }
	switch {
	case j.Op != opCommit:
		return fmt.Errorf("step %q is not known", j.Op)
	case file != j.ID+".json" || !plainName(j.ID) || !plainName(j.Name):
		return errors.New("names are not plain")
	case !plainRun(j.Run):
		return fmt.Errorf("run %q is not a path below the directory", j.Run)
	case j.Aside != "" && !within(j.Aside, historyDir) && !within(j.Aside, trashDir):
		return fmt.Errorf("%q is neither in the history nor in the trash", j.Aside)
	}
	return nil
}

// plainName reports whether a string is one component of a path.
func plainName(n string) bool {
	return n != "" && n != "." && n != ".." && !strings.ContainsAny(n, "/\x00")
}

// plainRun reports whether a string is the path of a run: "" or below the
// directory, and not private.
func plainRun(p string) bool { return p == "" || fs.ValidPath(p) && p != "." && !private(p) }
