package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// pinned reports whether the user has pinned a checkpoint: it is never pruned.
func (s *Store) pinned(p string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.pins[p]
	return ok
}

// Pin keeps what is committed under a name from being pruned. why is the user's
// word, which may be empty. Pinned again it gets the new one.
func (s *Store) Pin(p, why string) error {
	rec := s.named(p)
	if rec == nil {
		return fmt.Errorf("%s is not a checkpoint", p)
	}
	rec.mu.RLock() // a rename takes the pin along, and waits for this
	defer rec.mu.RUnlock()
	if rec.dead || rec.path() != p {
		return fmt.Errorf("%s is not a checkpoint any more", p)
	}
	if err := s.changePins(func(pins map[string]string) { pins[p] = why }); err != nil {
		return err
	}
	s.event("pin", p, why)
	return nil
}

// Unpin lets the policy decide about a checkpoint again.
func (s *Store) Unpin(p string) error {
	s.mu.RLock()
	_, pinned := s.pins[p]
	s.mu.RUnlock()
	if !pinned {
		return fmt.Errorf("%s is not pinned", p)
	}
	if err := s.changePins(func(pins map[string]string) { delete(pins, p) }); err != nil {
		return err
	}
	s.event("unpin", p, "")
	return nil
}

// changePins changes what is pinned: on the disk first, durably, so that nobody
// counts on a pin that a crash takes back.
func (s *Store) changePins(change func(pins map[string]string)) error {
	s.pinning.Lock()
	defer s.pinning.Unlock()
	pins := maps.Clone(s.pins) // which is replaced with pinning held only
	change(pins)
	if err := s.writePins("pin", pins); err != nil {
		return err
	}
	s.setPins(pins)
	return nil
}

func (s *Store) writePins(op disk.Op, pins map[string]string) error {
	b, err := json.MarshalIndent(pins, "", " ")
	if err == nil {
		err = s.writeFile(op, pinsFile, append(b, '\n'), true)
	}
	if err != nil {
		return fmt.Errorf("write down what is pinned: %w", err)
	}
	return nil
}

func (s *Store) setPins(pins map[string]string) {
	s.mu.Lock()
	s.pins = pins
	s.mu.Unlock()
}

// pinReason is the user's word why a checkpoint is pinned.
func (s *Store) pinReason(p string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pins[p]
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

// movePins gives pins their new paths: in memory whatever the disk says, for the
// names have moved, and durably on the disk.
func (s *Store) movePins(list []renamed) error {
	s.pinning.Lock()
	defer s.pinning.Unlock()
	pins := maps.Clone(s.pins)
	for _, r := range list {
		why, ok := s.pins[r.ID]
		if to := path.Join(r.Run, r.Name); r.What == pinNote && ok && to != r.ID {
			delete(pins, r.ID)
			pins[to] = why
		}
	}
	if maps.Equal(pins, s.pins) {
		return nil
	}
	s.setPins(pins)
	return s.writePins("rename:pins", pins)
}
