package store

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Held is a file that was held back: its writer died, or it could not be
// proven whole. It lies in .ckptfs/quarantine/<id>, its note beside it.
type Held struct {
	ID     string    `json:"id"`
	Path   string    `json:"path"` // the name it was written under
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Size   int64     `json:"size"`
}

// parseHeld reads the note of a file. One that names anything but a place below
// the directory says nothing.
func parseHeld(id string, b []byte, now time.Time) *Held {
	h := new(Held)
	if json.Unmarshal(b, h) != nil || h.ID != id || !fs.ValidPath(h.Path) || private(h.Path) || h.Size < 0 {
		return &Held{ID: id, Path: id, Reason: "its note is not readable", Since: now}
	}
	h.Since = past(h.Since, now)
	return h
}

// intoQuarantine moves a staged file into quarantine.
func (s *Store) intoQuarantine(from, name, why string) error {
	st, err := s.disk.Stat(from)
	if err != nil {
		return err
	}
	h := &Held{ID: s.newID(), Path: name, Reason: why, Since: s.clock.Now(), Size: st.Size}
	to := path.Join(quarantineDir, h.ID)
	if err := s.disk.Rename("quarantine", from, to, 0); err != nil {
		return err
	}
	s.mu.Lock()
	s.quarantine = append(s.quarantine, h)
	s.mu.Unlock()
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return s.writeFile("quarantine:note", to+".json", append(b, '\n'), false)
}

// Quarantine lists what is held back, oldest first.
func (s *Store) Quarantine() []Held {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Held
	for _, h := range s.quarantine {
		out = append(out, *h)
	}
	return out
}

func (s *Store) loadQuarantine() error {
	list, err := s.disk.ReadDir(quarantineDir)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if strings.HasSuffix(e.Name, ".json") || strings.HasSuffix(e.Name, ".new") {
			continue
		}
		h := &Held{ID: e.Name, Path: e.Name, Reason: "its note is missing", Since: s.clock.Now()}
		b, err := s.readFile(path.Join(quarantineDir, e.Name+".json"), maxPrivate)
		if unread(err) {
			return err
		}
		if err == nil {
			h = parseHeld(e.Name, b, s.clock.Now())
		}
		s.quarantine = append(s.quarantine, h)
	}
	return nil
}

// expireQuarantine removes what was held back for longer than incomplete_ttl.
func (s *Store) expireQuarantine() error {
	now := s.clock.Now()
	s.mu.Lock()
	var old []*Held
	s.quarantine = slices.DeleteFunc(s.quarantine, func(h *Held) bool {
		gone := now.Sub(h.Since) > s.cfg.Save.IncompleteTTL
		if gone {
			old = append(old, h)
		}
		return gone
	})
	s.mu.Unlock()
	for _, h := range old {
		if err := s.removeHeld(h.ID); err != nil {
			return err
		}
	}
	return nil
}

// dropHeld removes one file before its time.
func (s *Store) dropHeld(id string) error {
	if s.takeHeld(id) == nil {
		return fmt.Errorf("the quarantine holds no %s", id)
	}
	return s.removeHeld(id)
}

// takeHeld takes a file out of the list, so that nobody else does anything with
// it; nil when it is not there.
func (s *Store) takeHeld(id string) *Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.quarantine, func(h *Held) bool { return h.ID == id })
	if i < 0 {
		return nil
	}
	h := s.quarantine[i]
	s.quarantine = slices.Delete(slices.Clone(s.quarantine), i, i+1)
	return h
}

func (s *Store) removeHeld(id string) error {
	p := path.Join(quarantineDir, id)
	if err := s.removeAll("quarantine:expire", p); err != nil {
		return err
	}
	return s.removeAll("quarantine:expire", p+".json")
}
