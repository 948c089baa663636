package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Event is something that happened to a checkpoint, with its reason.
type Event struct {
	Time   time.Time `json:"time"`
	What   string    `json:"event"` // commit, commit-failed, quarantine, prune, discard, recover, adopt, invalid
	Path   string    `json:"path"`
	Reason string    `json:"reason"`
}

// events keeps the last ones in memory; the log has all of them.
type events struct {
	mu   sync.Mutex
	list []Event
}

const eventsKept = 1000

func (s *Store) event(what, path, reason string) {
	e := &s.events
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, Event{s.clock.Now(), what, path, reason})
	if n := len(e.list); n > eventsKept {
		e.list = append([]Event(nil), e.list[n-eventsKept:]...)
	}
}

// Note records something that the mount has to tell.
func (s *Store) Note(what, path, reason string) { s.event(what, path, reason) }

// Events lists the last events, oldest first.
func (s *Store) Events() []Event {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return append([]Event(nil), s.events.list...)
}

// sentences is how many things are said in one line.
const sentences = 5

// Words is a list as one line for people: of two hundred damaged files the first
// few, and how many more there are. What a script reads has the whole list.
func Words(list []string) string {
	if more := len(list) - sentences; more > 1 { // in place of one more it can be said itself
		list = append(slices.Clone(list[:sentences]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}
