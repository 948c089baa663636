package policy

import (
	"cmp"
	"slices"

	"ckptfs/layout"
)

// order compares the checkpoints of one set by training progress.
//
// Progress.Compare judges a pair by whatever both of them know. Over a set
// whose members know different things that is not transitive: A behind B by
// global steps, B behind C by epochs, C behind A because it knows less. So one
// scale is chosen for a set: global steps when every checkpoint whose progress
// is known has one, else epochs, with those that know only a global step
// behind. Within a scale Compare is a total preorder.
type order struct{ globalSteps bool }

// orderOf is the scale of the checkpoints that pass.
func orderOf(cs []Checkpoint, pass func(Checkpoint) bool) order {
	for _, c := range cs {
		if pass(c) && c.Known() && c.GlobalStep == nil {
			return order{}
		}
	}
	return order{globalSteps: true}
}

// progress is negative when p is behind q on the set's scale.
func (o order) progress(p, q layout.Progress) int {
	if !o.globalSteps {
		p, q = onEpochs(p), onEpochs(q)
	}
	return p.Compare(q)
}

func onEpochs(p layout.Progress) layout.Progress {
	if p.Epoch != nil {
		p.GlobalStep = nil
	}
	return p
}

// ahead reports whether a is further than b: by progress, or by commit time
// where neither tells its progress. It is false for ties.
func (o order) ahead(a, b *Checkpoint) bool {
	if c := o.progress(a.Progress, b.Progress); c != 0 {
		return c > 0
	}
	return !a.Known() && a.CommittedAt.After(b.CommittedAt)
}

// compare is the order of latest/, negative when a goes behind b. Progress
// decides. Among equals a name that carries its numbers goes first, for it
// stays true when last and recovery are overwritten; then the later commit,
// then the name. Where nothing gives progress the commit time decides.
// Different checkpoints never compare equal, so the result does not depend on
// the order of the input.
func (o order) compare(a, b *Checkpoint) int {
	if c := o.progress(a.Progress, b.Progress); c != 0 {
		return c
	}
	if !a.Known() {
		if c := a.CommittedAt.Compare(b.CommittedAt); c != 0 {
			return c
		}
	}
	return tieBreak(a, b)
}

// tieBreak orders two checkpoints of equal progress.
func tieBreak(a, b *Checkpoint) int {
	return cmp.Or(
		compareBool(a.numbered(), b.numbered()),
		a.CommittedAt.Compare(b.CommittedAt),
		byName(a, b),
	)
}

// byName is the last resort that makes every order total: the first name in
// the alphabet wins.
func byName(a, b *Checkpoint) int {
	return cmp.Or(
		cmp.Compare(b.Name, a.Name),
		cmp.Compare(b.State, a.State),
		cmp.Compare(b.ID, a.ID),
	)
}

// newestFirst returns the indices of the checkpoints that pass, by compare.
func newestFirst(cs []Checkpoint, pass func(Checkpoint) bool) []int {
	var indices []int
	for i, c := range cs {
		if pass(c) {
			indices = append(indices, i)
		}
	}
	order := orderOf(cs, pass)
	slices.SortFunc(indices, func(i, j int) int { return order.compare(&cs[j], &cs[i]) })
	return indices
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
