package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// journal is one step that takes more than one call to the disk: directories
// move, and what is written down about them follows. The record is written and
// synced before the first call and removed after the last; whoever finds one
// carries on from where the directories are (carryOn).
type journal struct {
	Format int    `json:"format"`
	Op     string `json:"op"`
	ID     string `json:"id"` // of the save, where it is a commit
	Run    string `json:"run"`
	Name   string `json:"name"`
	Moves  []move `json:"moves,omitempty"`
	// Renamed are the notes that name the checkpoint, with what they have to say.
	Renamed []renamed `json:"renamed,omitempty"`
	// Shown are the files of a spread checkpoint, which get their names in the run
	// when its directory has come to its home.
	Home  string  `json:"home,omitempty"`
	Shown []shown `json:"shown,omitempty"`
}

// move is a directory on its way, recognised by its inode, so that moving it
// twice is harmless. Where it cannot be renamed it is copied (copyDir), and
// known from then on by the inode of the copy.
type move struct {
	From string `json:"from"`
	Via  string `json:"via,omitempty"` // where an exchange leaves it on the way
	To   string `json:"to"`
	Ino  uint64 `json:"ino"`
	// Crosses says that no rename leads from there to there: the two places are on
	// different file systems, or subvolumes, where inode numbers are used twice.
	Crosses bool `json:"crosses,omitempty"`
	// Version is the version that it holds, whose manifest names its inodes.
	Version string `json:"version,omitempty"`
	Copy    uint64 `json:"copy,omitempty"`   // the directory that is made of it at To
	Copied  bool   `json:"copied,omitempty"` // that is whole and durable
	Left    bool   `json:"left,omitempty"`   // nothing is left at From; its inode number means nothing any more
	Why     string `json:"why,omitempty"`    // it goes to the trash
	// Rest is the inode of what a copy has left over, of no use to anybody: half
	// of a copy at From, or at To what was copied away from there.
	Rest uint64 `json:"rest,omitempty"`
}

// renamed is something with a note of its own, and the name that it goes by from
// now on.
type renamed struct {
	What string `json:"what"` // save, version, trash, or pin
	ID   string `json:"id"`   // of a pin: the path that was pinned
	Run  string `json:"run"`
	Name string `json:"name"`
}

const (
	opCommit = "commit" // the version before goes, the staged one comes
	opUndo   = "undo"   // the other way round: the commit could not be carried out
	opMove   = "move"   // one directory that cannot be renamed
	opRename = "rename" // a checkpoint or a run gets another name, and what belongs to it with it
)

const journalFormat = 1

// inverse is the record of the way back.
func (j *journal) inverse() *journal {
	back := *j
	back.Op, back.Moves = opUndo, nil
	for _, m := range j.Moves {
		m.From, m.To = m.To, m.From
		switch {
		case m.Left:
			m.Ino, m.Rest = m.Copy, 0
		case m.Copied:
			m.Ino, m.Rest = m.Copy, m.Ino
		default:
			m.Rest = m.Copy
		}
		m.Copy, m.Copied, m.Left = 0, false, false
		back.Moves = append([]move{m}, back.Moves...)
	}
	return &back
}

func journalPath(id string) string { return path.Join(journalDir, id+".json") }

func (s *Store) writeJournal(j *journal) error {
	j.Format = journalFormat
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

// errOtherVersion says that private state is of a ckptfs that knows more.
var errOtherVersion = errors.New("written by another version of ckptfs; mount it once with that one")

// errTorn says that a record was never synced: its step had not begun.
var errTorn = errors.New("not whole")

// readJournal returns the records that a crash left, oldest first. One that is no
// JSON was never synced. One that is, and is not understood, is somebody else's:
// nothing is touched before he has finished it.
func (s *Store) readJournal() ([]*journal, error) {
	list, err := s.disk.ReadDir(journalDir)
	if err != nil {
		return nil, err
	}
	var out []*journal
	var torn []string
	for _, e := range list {
		p := path.Join(journalDir, e.Name)
		j, err := s.readRecord(e.Name)
		switch {
		case errors.Is(err, errTorn):
			torn = append(torn, p)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p, err)
		default:
			out = append(out, j)
		}
	}
	for _, p := range torn {
		s.log.Warn("a journal record is not whole; its step had not begun", "record", p)
		if err := s.removeAll("recover:journal", p); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b *journal) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (s *Store) readRecord(file string) (*journal, error) {
	p := path.Join(journalDir, file)
	st, err := s.disk.Stat(p)
	if err != nil {
		return nil, err
	}
	if !st.IsRegular() {
		return nil, errTorn // nobody has written it
	}
	b, err := s.readFile(p, maxPrivate)
	if err != nil {
		return nil, err
	}
	return parseJournal(file, b)
}

func parseJournal(file string, b []byte) (*journal, error) {
	j := new(journal)
	if err := json.Unmarshal(b, j); err != nil || !strings.HasSuffix(file, ".json") {
		return nil, errTorn
	}
	return j, j.valid(file)
}

// valid refuses records of other versions, and those that would lead anywhere
// but where a step of ours goes.
func (j *journal) valid(file string) error {
	switch j.Op {
	case opCommit, opUndo, opMove, opRename:
	default:
		return fmt.Errorf("step %q: %w", j.Op, errOtherVersion)
	}
	switch {
	case j.Format != journalFormat:
		return fmt.Errorf("format %d: %w", j.Format, errOtherVersion)
	case file != j.ID+".json" || !plainName(j.ID):
		return errors.New("it is not the record that its name says")
	case !plainRun(j.Run) || j.Name != "" && !plainName(j.Name):
		return fmt.Errorf("checkpoint %q of run %q is not a path below the directory", j.Name, j.Run)
	}
	for _, m := range j.Moves {
		for _, p := range []string{m.From, m.To, m.Via} {
			if p != "" && !movable(p) {
				return fmt.Errorf("%q is no place for a checkpoint", p)
			}
		}
		if m.From == "" || m.To == "" || m.Version != "" && !plainName(m.Version) {
			return errors.New("a move is not whole")
		}
	}
	if len(j.Shown) > 0 && (path.Dir(j.Home) != filesDir || !fs.ValidPath(j.Home)) {
		return fmt.Errorf("%q is no place for the files of a checkpoint", j.Home)
	}
	for _, n := range j.Shown {
		if !plainName(n.Name) || j.Run == "" && n.Name == Private {
			return fmt.Errorf("%q is no name of a file", n.Name)
		}
	}
	for _, r := range j.Renamed {
		if !plainRun(r.Run) || !plainName(r.Name) || r.What != pinNote && !plainName(r.ID) {
			return fmt.Errorf("%s %q cannot be called %q in run %q", r.What, r.ID, r.Name, r.Run)
		}
	}
	return nil
}

// movable reports whether a checkpoint, or a directory of one, may lie at a path:
// under a natural name, in the history, in the trash, staged, or among the files.
func movable(p string) bool {
	if !fs.ValidPath(p) || p == "." {
		return false
	}
	dir := path.Dir(p)
	return !private(p) || dir == historyDir || dir == filesDir || dir == trashDir || strings.HasPrefix(dir, stagingDir+"/")
}

// plainName reports whether a string is one component of a path.
func plainName(n string) bool {
	return n != "" && n != "." && n != ".." && !strings.ContainsAny(n, "/\x00")
}

// plainRun reports whether a string is the path of a run: "" or below the
// directory, and not private.
func plainRun(p string) bool { return p == "" || fs.ValidPath(p) && p != "." && !private(p) }
