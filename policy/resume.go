package policy

import (
	"fmt"
	"slices"

	"ckptfs/layout"
)

// rank is a kind's place in resume.order; a kind that is not there goes behind
// all that are. A step or the end of an epoch has the place of mid_epoch where
// it has none of its own: of what is saved again and again under new names, the
// most advanced one is meant.
func (p ResumePolicy) rank(kind layout.Kind) int {
	i := slices.Index(p.Order, kind)
	if i < 0 && (kind == layout.Step || kind == layout.EpochEnd) {
		i = slices.Index(p.Order, layout.MidEpoch)
	}
	if i < 0 {
		return len(p.Order)
	}
	return i
}

// kindOf is the kind that counts for a checkpoint: its own, or that of a link to
// it which goes before.
func (p ResumePolicy) kindOf(c Checkpoint) layout.Kind {
	kind := c.Kind
	for _, also := range c.Also {
		if p.rank(also) < p.rank(kind) {
			kind = also
		}
	}
	return kind
}

func (p ResumePolicy) has(kind layout.Kind) bool {
	return p.rank(kind) < len(p.Order)
}

// prefersPriority: the default, also of a zero policy.
func (p ResumePolicy) prefersPriority() bool { return p.Prefer != PreferProgress }

// resume resolves to the first kind of the order that has a committed
// checkpoint, and within a kind to the most advanced one. With
// prefer: progress the most advanced of all kinds in the order wins, by the
// order of latest/, so that both agree.
func (r *resolver) resume(p ResumePolicy) Resolution {
	others := slices.Clone(r.others)
	if p.prefersPriority() {
		slices.SortStableFunc(others, func(i, j int) int { return p.rank(p.kindOf(r.cs[i])) - p.rank(p.kindOf(r.cs[j])) })
	}
	target := r.Resume()
	if target < 0 {
		res := r.nothing("no committed checkpoint is of a kind in resume.order", others)
		if len(r.committed) == 0 {
			res.Reason = "no checkpoint is committed"
		}
		for _, i := range r.committed {
			res.skip(r.cs[i], notInOrder(r.cs[i]))
		}
		return res
	}

	winner := r.cs[target]
	res := Resolution{Target: target, Reason: resumeReason(winner, p)}
	for _, i := range others {
		if r.skippedUnusable(r.cs[i], winner, p) {
			res.skip(r.cs[i], r.cs[i].stateReason())
		}
	}
	for _, i := range r.committed {
		if c := r.cs[i]; r.order.ahead(&c, &winner) {
			res.skip(c, aheadReason(c, winner, p))
		}
	}
	return res
}

// skippedUnusable reports whether c was passed over: it goes before the winner
// in priority, or may be more advanced.
func (r *resolver) skippedUnusable(c, winner Checkpoint, p ResumePolicy) bool {
	if p.prefersPriority() {
		if before := p.rank(p.kindOf(c)) - p.rank(p.kindOf(winner)); before != 0 {
			return before < 0 || c.Known() && r.mayBeAhead(c, winner)
		}
	}
	return r.mayBeAhead(c, winner)
}

func resumeReason(winner Checkpoint, p ResumePolicy) string {
	if !p.prefersPriority() {
		return fmt.Sprintf("the most advanced of the kinds in resume.order: %s (resume.prefer: progress)", winner.Progress)
	}
	return fmt.Sprintf("%s is the first kind in resume.order with a committed checkpoint: %s", p.kindOf(winner), winner.Progress)
}

// aheadReason says why a committed checkpoint that is further than the winner
// was passed over.
func aheadReason(c, winner Checkpoint, p ResumePolicy) string {
	if !p.has(p.kindOf(c)) {
		return notInOrder(c)
	}
	return fmt.Sprintf("%s, but %s goes first (resume.prefer: priority)", c.Progress, winner.Name)
}

func notInOrder(c Checkpoint) string {
	return fmt.Sprintf("%s, but its kind, %s, is not in resume.order", c.Progress, c.Kind)
}
