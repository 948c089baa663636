package policy

import (
	"cmp"
	"slices"
	"time"

	"ckptfs/layout"
)

// Action is what retention does with a checkpoint.
type Action string

// The actions; they are also the words of `prune --json`.
const (
	ActionKeep   Action = "keep"
	ActionDelete Action = "delete"
	ActionSkip   Action = "skip" // not retention's to judge
)

// Decision is what retention does with one checkpoint, and why.
type Decision struct {
	Name    string   `json:"name"`
	ID      string   `json:"version,omitempty"` // tells the versions of one name apart
	State   State    `json:"state"`
	Action  Action   `json:"action"`
	Reasons []string `json:"reasons"` // at least one
	Size    int64    `json:"size"`    // bytes
	Spared  bool     `json:"-"`       // the rules alone would delete it
}

// Retain decides for every checkpoint whether it is kept, and says why. The
// decisions are in order of progress, then name, whatever the order of cs; v
// must be what cs resolved to.
//
// No rule deletes what latest/, resume/ or best/ resolves to, the newest valid
// checkpoint, one that is pinned, in use or being saved, or a committed one of
// a kind that has no rule; max_total takes more, but nothing of the former. What
// is not committed is skipped: it is either not ours to judge or has a lifetime
// of its own.
func Retain(cs []Checkpoint, v Views, r Retention, now time.Time) []Decision {
	verdicts := judge(cs, v, r, now)
	protected := protections(cs, v)
	limitTotals(cs, verdicts, protected, r)

	order := orderOf(cs, func(Checkpoint) bool { return true })
	indices := make([]int, len(cs))
	for i := range cs {
		indices[i] = i
	}
	slices.SortFunc(indices, func(i, j int) int {
		return cmp.Or(order.progress(cs[i].Progress, cs[j].Progress), byName(&cs[j], &cs[i]))
	})

	decisions := make([]Decision, 0, len(cs))
	for _, i := range indices {
		c := cs[i]
		var d Decision
		switch verdict := verdicts[i]; {
		case !c.committed() && c.State != History:
			d = decision(c, ActionSkip, skipReasons(c)...)
		case !verdict.drop:
			d = decision(c, ActionKeep, append(protected[i], verdict.reasons...)...)
		case len(protected[i]) > 0:
			d = decision(c, ActionKeep, protected[i]...)
			d.Spared = !c.Pinned
		default:
			d = decision(c, ActionDelete, verdict.reasons...)
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// protections says for every checkpoint what keeps it, whatever the rules say.
func protections(cs []Checkpoint, v Views) [][]string {
	reasons := make([][]string, len(cs))
	protect := func(i int, reason string) {
		if i >= 0 {
			reasons[i] = append(reasons[i], reason)
		}
	}
	protect(v.Latest.Target, "latest/ resolves to it")
	protect(v.Resume.Target, "resume/ resolves to it")
	protect(v.Best.Target, "best/ resolves to it")
	protect(newestValid(cs), "the newest valid checkpoint")
	for i, c := range cs {
		if c.Pinned {
			protect(i, "pinned")
		}
		if c.InUse {
			protect(i, "in use: a process has it open")
		}
		if c.Saving {
			protect(i, "a save of it is under way")
		}
	}
	return reasons
}

// newestValid is the most advanced committed checkpoint; where none is left,
// say because all were damaged from outside, the most advanced earlier
// version. It is -1 when there is neither.
func newestValid(cs []Checkpoint) int {
	for _, valid := range []func(Checkpoint) bool{
		Checkpoint.committed,
		func(c Checkpoint) bool { return c.State == History },
	} {
		if newest := newestFirst(cs, valid); len(newest) > 0 {
			return newest[0]
		}
	}
	return -1
}

// skipReasons says why a checkpoint is not retention's to judge.
func skipReasons(c Checkpoint) []string {
	var reasons []string
	switch {
	case c.Kind == layout.Temp:
		return []string{"temporary: the trainer will rename or remove it"}
	case c.State == Trash:
		reasons = []string{"trash: deleted already, emptied after retention.trash_ttl"}
	case c.State == Quarantine:
		reasons = []string{"quarantine: held back, discarded after save.incomplete_ttl"}
	default:
		reasons = []string{string(c.State) + ": never resolved and never pruned"}
	}
	if c.Reason != "" {
		reasons = append(reasons, c.Reason)
	}
	return reasons
}
