package store

import (
	"encoding/json"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// pinned reports whether the user has pinned a checkpoint: it is never pruned.
func (s *Store) pinned(p string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.pins[p]
	return ok
}

// loadPins reads what is pinned: paths, with the user's word why.
func (s *Store) loadPins() error {
	b, err := s.readFile(pinsFile, maxPrivate)
	if ignore(err, unix.ENOENT) != nil {
		return err
	}
	if err == nil {
		if err := json.Unmarshal(b, &s.pins); err != nil {
			return fmt.Errorf("read %s: %w", pinsFile, err)
		}
	}
	if s.pins == nil {
		s.pins = map[string]string{}
	}
	return nil
}

// movePins gives pins their new paths, in memory and durably on the disk.
func (s *Store) movePins(list []renamed) error {
	s.mu.Lock()
	moved := false
	for _, r := range list {
		why, ok := s.pins[r.ID]
		if to := path.Join(r.Run, r.Name); r.What == pinNote && ok && to != r.ID {
			delete(s.pins, r.ID)
			s.pins[to], moved = why, true
		}
	}
	b, err := json.MarshalIndent(s.pins, "", " ")
	s.mu.Unlock()
	if err != nil || !moved {
		return err
	}
	return s.writeFile("rename:pins", pinsFile, append(b, '\n'), true)
}
