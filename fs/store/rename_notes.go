package store

import (
	"encoding/json"
	"path"
	"slices"
)

// Saves, versions and trash are kept by id, and each has a note that names its
// checkpoint. A checkpoint or a run that is renamed takes them along: one journal
// record says what is renamed and lists the notes, so that a crash in between
// leaves nothing under the old name.

// What a renamed note is.
const (
	saveNoteOf = "save"
	versionOf  = "version"
	trashOf    = "trash"
	pinNote    = "pin"
)

// notesOf lists what names a record, with the name that it goes by from now on.
// Of a checkpoint that is renamed aside only the saves move. Needs rec.mu.
func (s *Store) notesOf(rec *record, run, name string, aside bool) []renamed {
	var out []renamed
	for _, sv := range rec.saves {
		out = append(out, renamed{saveNoteOf, sv.id, run, name})
	}
	if aside {
		return out
	}
	versions := rec.history
	if v := rec.committed; v != nil && v.rec == rec {
		versions = append(slices.Clone(versions), v)
	}
	for _, v := range versions {
		out = append(out, renamed{versionOf, v.ID, run, name})
	}
	if s.pinned(rec.path()) {
		out = append(out, renamed{pinNote, rec.path(), run, name})
	}
	return out
}

// rewriteNotes writes the present name of a record into what recovery reads,
// durably. Needs rec.mu.
func (s *Store) rewriteNotes(rec *record) error {
	for _, sv := range rec.saves {
		if err := s.writeSaveNote("save:note", sv, true); err != nil {
			return err
		}
	}
	versions := slices.Clone(rec.history)
	if rec.committed != nil && rec.committed.rec == rec {
		versions = append(versions, rec.committed)
	}
	for _, v := range versions {
		s.mu.Lock()
		v.Run, v.Name, v.Kind = rec.run.path, rec.name, rec.match.Kind
		s.mu.Unlock()
		if err := s.rewriteManifest("rename:manifest", v, true); err != nil {
			return err
		}
	}
	return nil
}

// redoRename finishes a rename: the directory moves, then every note that the
// record lists gets its new name. A note that is gone belongs to nothing any more.
func (s *Store) redoRename(j *journal) error {
	for _, m := range j.Moves {
		at, err := s.inode(m.To)
		if err != nil {
			return err
		}
		from, err := s.inode(m.From)
		if err != nil {
			return err
		}
		if at != 0 && !m.renamed(at) && at != m.Copy && from == m.Ino && s.holds(m.To) {
			s.log.Warn("a rename that was interrupted is given up: something else has the name", "from", m.From, "to", m.To)
			return s.revokeJournal(j)
		}
	}
	if err := s.carryOn("recover:rename", j); err != nil {
		return err
	}
	for _, r := range j.Renamed {
		if err := s.renote(r); err != nil {
			return err
		}
	}
	if err := s.loadPins(); err != nil {
		return err
	}
	if err := s.movePins(j.Renamed); err != nil {
		return err
	}
	return s.revokeJournal(j)
}

// renote writes a new name into a note; nothing of the catalog is known yet.
func (s *Store) renote(r renamed) error {
	switch r.What {
	case saveNoteOf:
		n, err := s.readNote(r.ID)
		if err != nil {
			return unreadOnly(err)
		}
		n.Run, n.Name = r.Run, r.Name
		b, err := json.Marshal(n)
		if err != nil {
			return err
		}
		return s.writeFile("recover:rename", path.Join(stagingDir, r.ID, "save.json"), append(b, '\n'), true)
	case versionOf:
		m, err := s.readManifest(r.ID)
		if err != nil {
			return unreadOnly(err)
		}
		m.Run, m.Name = r.Run, r.Name
		return s.writeManifest("recover:rename", m)
	case trashOf:
		b, err := s.readFile(path.Join(trashDir, r.ID+".json"), maxPrivate)
		if err != nil {
			return unreadOnly(err)
		}
		t := parseTrashed(r.ID, b, s.clock.Now())
		t.Run, t.Name = r.Run, r.Name
		s.writeTrashNote(t)
	}
	return nil
}

// holds reports whether a directory has anything in it.
func (s *Store) holds(dir string) bool {
	list, err := s.disk.ReadDir(dir)
	return err != nil || len(list) > 0
}
