package store

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ckptfs/fs/store/disk/disktest"
	"ckptfs/testdata/figures"
)

// allCuts asks for every state. A run of all tests tries some of them, the same
// each time; removing one fsync is found among them too.
var allCuts = flag.Bool("allcuts", false, "try every disk that a power cut may leave, not some of them")

// inMemory skips a test where time is short: its disk is in memory, so that the
// same run as another user, or on another file system, tells nothing new.
func inMemory(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: its disk is in memory, and knows no users")
	}
}

// some calls f for about n of the states, which are spread evenly; for every one
// when n is 0.
func some(r *disktest.Recording, m disktest.Model, n int, f func(*disktest.State) bool) {
	step := 1
	if n > 0 {
		states := 0
		r.Cuts(m, 0, func(*disktest.State) bool { states++; return true })
		step = max(1, states/n)
	}
	at := 0
	r.Cuts(m, 0, func(s *disktest.State) bool {
		at++
		return at%step != 0 || f(s)
	})
}

// A power cut at any moment of a save, and another at any moment of the recovery
// from it, loses nothing and tears nothing (P1, P2, P4).
func TestEveryPowerCut(t *testing.T) {
	inMemory(t)
	var states, again atomic.Int64
	t.Run("all", func(t *testing.T) {
		for _, sc := range scenes() {
			for _, model := range disktest.Models {
				t.Run(sc.String()+", "+model.String(), func(t *testing.T) {
					t.Parallel()
					sc.everyCut(t, model, &states, &again)
				})
			}
		}
	})
	violations := 0
	if t.Failed() {
		violations = 1 // at least: each scene ends at its first
	}
	figures.Report(t, "power cuts in memory", "%d states after a cut, %d after a cut in the recovery, %d violations", states.Load(), again.Load(), violations)
}

func (sc scene) everyCut(t *testing.T, model disktest.Model, states, again *atomic.Int64) {
	r := sc.record(t)
	first, second := 30, 4 // all recoveries from all states would take days
	if *allCuts {
		first, second = 0, 12
	}
	nth := 0
	some(r, model, first, func(s *disktest.State) bool {
		states.Add(1)
		recovery, err := sc.lost(t, s)
		if err != nil {
			t.Errorf("cut before event %d of\n%s\nmarks %q: %v\nthe disk:\n%s", s.Cut, numberedEvents(r.Events), s.Marks, err, s.List())
			return false
		}
		if nth++; nth%10 != 0 {
			return true
		}
		some(recovery, model, second, func(s2 *disktest.State) bool {
			again.Add(1)
			s2.Marks = append(slices.Clone(s.Marks), s2.Marks...)
			if _, err = sc.lost(t, s2); err != nil {
				t.Errorf("cut before event %d of\n%s\nmarks %q, and then before event %d of the recovery\n%s\nmarks %q: %v\nthe disk:\n%s",
					s.Cut, numberedEvents(r.Events), s.Marks, s2.Cut, numberedEvents(recovery.Events), s2.Marks, err, s2.List())
			}
			return err == nil
		})
		return err == nil
	})
}

// broken is the promise that some cut from an event on breaks.
func (sc scene) broken(t *testing.T, r *disktest.Recording, from int) (wrong error) {
	for _, model := range disktest.Models {
		r.Cuts(model, from, func(s *disktest.State) bool {
			_, wrong = sc.lost(t, s)
			return wrong == nil
		})
		if wrong != nil {
			return wrong
		}
	}
	return nil
}

// spare are the syncs that could be left out, and why they are there.
var spare = map[string]string{
	"sync of commit:away":      "every move of a record is made durable, also one that the next covers",
	"sync of rename:manifest":  "a manifest is there for good when it is written, also one that only has another name",
	"fsync of rename:manifest": "no scene renames a name that has a history; TestCrashWhileANameMoves does",
	"sync of delete:manifest":  "the same",
	"sync of commit:papers":    "the sync for the new manifest, in the same directory, came just before",
	"fsync of save:note":       "a note that is not whole makes the save nobody's; the other sync keeps an older one from standing",
	"sync of trash:sync":       "what has lost its papers for good is no version wherever it lies; on ext4 with data=writeback blocks that are free too early come back with another file's bytes, which no model here knows",
	"fsync of save:twice":      "the same",
}

// Every sync is needed: without it, some cut breaks a promise. That shows as well
// that TestEveryPowerCut would notice.
func TestEverySyncIsNeeded(t *testing.T) {
	inMemory(t)
	var mu sync.Mutex
	found := map[string]error{}
	t.Run("each", func(t *testing.T) {
		for _, sc := range scenes() {
			t.Run(sc.String(), func(t *testing.T) {
				t.Parallel()
				r := sc.record(t)
				for i, e := range r.Events {
					name := syncName(&e)
					mu.Lock()
					done := !e.IsSync() || found[name] != nil || spare[name] != "" && !*allCuts
					mu.Unlock()
					if done {
						continue
					}
					wrong := sc.broken(t, r.With(slices.Delete(slices.Clone(r.Events), i, i+1)), i)
					mu.Lock()
					if found[name] == nil {
						found[name] = wrong
					}
					mu.Unlock()
				}
			})
		}
	})
	needed := 0
	for name, wrong := range found {
		if wrong == nil && spare[name] != "" {
			continue
		}
		if wrong == nil {
			t.Errorf("without the %s nothing is lost in any scene: is it needed?", name)
			continue
		}
		needed++
		first, _, _ := strings.Cut(wrong.Error(), "\n")
		t.Logf("without the %s: %s", name, first)
	}
	figures.Report(t, "syncs left out", "%d kinds, %d of them missed", len(found), needed)
}

// syncName tells the syncs of a step apart: that of a file, that of a directory.
func syncName(e *disktest.Event) string {
	kind, _, _ := strings.Cut(e.Call, " ")
	return fmt.Sprintf("%s of %s", kind, e.Op)
}
