package policy

import "time"

// Retention says which checkpoints may be deleted, by kind. A kind without a
// rule is kept until a limit takes it. [Retain] applies the rules and MaxTotal;
// [Room] says what goes when space is short.
type Retention struct {
	MidEpoch Rule // keep_last, keep_every_steps, max_age, when
	Step     Rule // keep_last, keep_every_steps, max_age; unset, MidEpoch judges both kinds as one
	EpochEnd Rule // keep_last, keep_every, max_age
	Best     Rule // keep (KeepLast): the best by the metric of best/, of whatever kind
	History  Rule // keep_last and max_age, of the earlier versions of each name

	MaxTotal     Share         // what the checkpoints of a run may take
	HistoryTotal Share         // what its earlier versions may take, within MaxTotal
	MinFree      Share         // what stays free on the file system
	TrashTTL     time.Duration // how long a deleted checkpoint can be restored
	TrashTotal   Share         // what all deleted ones may take until then
	ProtectLast  bool          // never lose the newest valid version, not even to make room
	DryRun       bool          // decide and report, delete nothing

	// NumberedOnly leaves recovery checkpoints alone, as who asks for so many
	// mid-epoch checkpoints does; it is none of the configuration's keys.
	NumberedOnly bool
}

// On turns the budgets that are a part of the disk into bytes of one of a size.
// A part whose disk nobody named is no limit.
func (r Retention) On(disk int64) Retention {
	for _, s := range []*Share{&r.MaxTotal, &r.HistoryTotal, &r.TrashTotal} {
		s.Bytes = s.Of(disk)
	}
	return r
}

// Rule says which checkpoints of one kind are kept. What any keep rule names
// is kept (the rules are a union); MaxAge then takes what is older, and alone
// it keeps everything younger. The zero Rule keeps everything.
type Rule struct {
	KeepLast       *int          // the newest by progress; 0 keeps none of them; nil is no rule
	KeepEvery      int           // epochs that are a multiple of it; 0 is no rule
	KeepEverySteps int64         // the first one at or after each multiple of global steps; 0 is no rule
	MaxAge         time.Duration // since the commit; 0 is no rule
	When           string        // WhenEpochEnd (also ""), or WhenAlways
}

// The values of retention.mid_epoch.when. A recovery checkpoint goes with both of
// them when the end of its epoch is committed. A checkpoint that only counts steps
// waits for nothing.
const (
	// WhenEpochEnd lets the mid-epoch checkpoints of an epoch go only when an
	// end of that epoch or a later one is committed.
	WhenEpochEnd = "epoch_end"
	// WhenAlways applies the rules at once.
	WhenAlways = "always"
)

// KeepLast is the policy of `prune --keep-last N`: the n newest mid-epoch
// checkpoints stay, whether or not their epoch has ended.
func KeepLast(n int) Retention {
	return Retention{
		MidEpoch:     Rule{KeepLast: &n, When: WhenAlways},
		ProtectLast:  true,
		NumberedOnly: true,
	}
}

// set reports whether the rule can delete anything.
func (r Rule) set() bool { return r.keeps() || r.MaxAge > 0 }

// keeps reports whether the rule names what it keeps.
func (r Rule) keeps() bool { return r.KeepLast != nil || r.KeepEvery > 0 || r.KeepEverySteps > 0 }

// Deletes reports whether any rule deletes checkpoints.
func (r Retention) Deletes() bool { return !r.unset() || r.MaxTotal.set() }

// JudgesRun reports whether a rule has to look at a run as a whole. Without one
// only history.keep_last is left, which is a matter of each name.
func (r Retention) JudgesRun() bool {
	return r.Deletes() || r.HistoryTotal.set() || r.History.MaxAge > 0 || r.DryRun && r.History.set()
}

// unset reports whether no checkpoint can be deleted. History is left aside:
// it holds what was overwritten already.
func (r Retention) unset() bool {
	return !r.MidEpoch.set() && !r.Step.set() && !r.EpochEnd.set() && !r.Best.set()
}
