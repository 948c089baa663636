// Package policy decides: which checkpoint a view resolves to, which ones
// retention keeps, and whether a configuration makes sense. It is pure: values
// in, decisions with reasons out; no I/O and no clock, so every rule can be
// tested by a table and printed before it is carried out.
package policy

import (
	"slices"
	"time"

	"ckptfs/layout"
)

// State is what a checkpoint is at the moment of asking.
type State string

// The states of docs/SEMANTICS.md; they are also the words of `ls --json`.
const (
	Committed  State = "committed"
	Saving     State = "saving"
	Incomplete State = "incomplete"
	Invalid    State = "invalid"
	History    State = "history"
	Trash      State = "trash"
	Quarantine State = "quarantine"
	Alias      State = "alias" // a link to another checkpoint; a row of `ls`, never a candidate
)

// Checkpoint is one candidate: a committed version under its name, an earlier
// version in history, or something that does not count, with the reason.
type Checkpoint struct {
	ID   string // the version's id, "" when nothing was ever committed
	Name string // its name in the run
	Kind layout.Kind
	Also []layout.Kind // the kinds of the names that are links to it
	layout.Progress
	State       State
	Reason      string // why the state is what it is: "", or what is missing or damaged
	CommittedAt time.Time
	Size        int64 // bytes
	Shared      int64 // of these, what a newer version of the run holds as well, as hard links
	Metrics     map[string]float64
	BestName    string // the checkpoint that this one calls the best so far; "" for none
	Pinned      bool
	InUse       bool // a process has a view of it open
	Saving      bool // a save of this name is under way (the committed version is still good)
}

// committed reports whether c may be resolved and counts as a checkpoint to
// keep. A temporary name never does, whatever its content.
func (c Checkpoint) committed() bool {
	return c.State == Committed && c.Kind != layout.Temp
}

// unusable reports whether c is a candidate that cannot be resolved: somebody
// meant it to be a checkpoint and it is not one (yet). Earlier versions and
// deleted checkpoints are no candidates.
func (c Checkpoint) unusable() bool {
	switch c.State {
	case Saving, Incomplete, Invalid, Quarantine:
		return c.Kind != layout.Temp
	}
	return false
}

// numbered reports whether the name carries its numbers. Such a checkpoint is
// written once, under a name that stays true; last, recovery and best are
// overwritten by the next save.
func (c Checkpoint) numbered() bool {
	switch c.Kind {
	case layout.MidEpoch, layout.Step, layout.EpochEnd:
		return true
	}
	return false
}

// is reports whether c is of a kind, by its name or by a link to it.
func (c Checkpoint) is(kind layout.Kind) bool { return c.Kind == kind || slices.Contains(c.Also, kind) }

// endsEpoch reports whether c is the end of its epoch.
func (c Checkpoint) endsEpoch() bool {
	if c.Epoch == nil {
		return false
	}
	if c.Step == nil {
		return c.Kind == layout.EpochEnd
	}
	return *c.Step == 0
}

// stateReason is the state with what is known about it.
func (c Checkpoint) stateReason() string {
	switch {
	case c.Reason != "":
		return string(c.State) + ": " + c.Reason
	case c.State == Saving:
		return "saving: not committed yet"
	}
	return string(c.State)
}
