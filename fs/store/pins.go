package store

// pinned reports whether the user has pinned a checkpoint: it is never pruned.
func (s *Store) pinned(p string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.pins[p]
	return ok
}
