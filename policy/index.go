package policy

import (
	"cmp"
	"slices"

	"ckptfs/layout"
)

// Index finds what each view of a run leads to, and follows the run one
// checkpoint at a time: what a change costs does not grow with the run, but for
// moving some bytes. A checkpoint is known by its slot.
//
// It keeps the candidates in the orders that the views go by, each with the one
// that wins on top. All of them are total, so what an Index says does not depend
// on how it came about.
type Index struct {
	config Config
	cs     []Checkpoint
	free   []int // slots that hold none

	compared int // how often two of them were, for tests

	order     order // the scale of the committed checkpoints
	stepless  int   // of them, those whose progress is known without a global step
	committed ranking
	byRank    []ranking // of the kinds in resume.order, by their place in it
	best      ranking   // those that the trainer calls the best
	naming    ranking   // those that say which checkpoint is the best so far
	metric    ranking   // by what best/ may go by
	goesBy    *BestPolicy
	names     map[string][]int   // of the committed; nil until somebody asks
	epochs    map[int64]*ranking // earlier versions too
	steps     map[int64]*ranking
}

// NewIndex makes the index of a run; the slot of each checkpoint is its place in
// cs, which it takes over.
func NewIndex(cs []Checkpoint, c Config) *Index {
	x := &Index{
		config: c, goesBy: c.Best.metric(), order: orderOf(cs, Checkpoint.committed), byRank: make([]ranking, len(c.Resume.Order)),
		epochs: map[int64]*ranking{}, steps: map[int64]*ranking{},
	}
	x.cs = cs
	for i := range x.cs {
		x.count(i, 1)
		x.rankings(i, func(r *ranking, _ comparison) { r.slots = append(r.slots, i) })
	}
	x.sort()
	return x
}

// At is the checkpoint in a slot; it is not to be changed.
func (x *Index) At(slot int) *Checkpoint { return &x.cs[slot] }

// Add enters a checkpoint and says in which slot it is.
func (x *Index) Add(c Checkpoint) int {
	slot := len(x.cs)
	if n := len(x.free); n > 0 {
		slot, x.free = x.free[n-1], x.free[:n-1]
		x.cs[slot] = c
	} else {
		x.cs = append(x.cs, c)
	}
	x.count(slot, 1)
	x.rescale()
	x.rankings(slot, func(r *ranking, before comparison) { r.add(slot, before) })
	return slot
}

// Remove takes out what is in a slot.
func (x *Index) Remove(slot int) {
	x.rankings(slot, func(r *ranking, before comparison) { r.remove(slot, before) })
	x.count(slot, -1)
	c := &x.cs[slot]
	if e := c.Epoch; e != nil && x.epochs[*e].empty() {
		delete(x.epochs, *e)
	}
	if s := c.GlobalStep; s != nil && x.steps[*s].empty() {
		delete(x.steps, *s)
	}
	x.cs[slot] = Checkpoint{}
	x.free = append(x.free, slot)
	x.rescale()
}

// count keeps what is known of the committed checkpoints as a set.
func (x *Index) count(slot, by int) {
	c := &x.cs[slot]
	if !c.committed() {
		return
	}
	if c.Known() && c.GlobalStep == nil {
		x.stepless += by
	}
	if x.names == nil {
		return
	}
	if by > 0 {
		x.names[c.Name] = append(x.names[c.Name], slot)
	} else if left := slices.DeleteFunc(x.names[c.Name], func(i int) bool { return i == slot }); len(left) > 0 {
		x.names[c.Name] = left
	} else {
		delete(x.names, c.Name)
	}
}

// rescale orders everything anew when another scale is in force: the first
// checkpoint came that has no global step, or the last one went.
func (x *Index) rescale() {
	if scale := (order{globalSteps: x.stepless == 0}); scale != x.order {
		x.order = scale
		x.sort()
	}
}

func (x *Index) sort() {
	slices.SortFunc(x.committed.slots, x.byOrder)
	for i := range x.byRank {
		slices.SortFunc(x.byRank[i].slots, x.byOrder)
	}
	slices.SortFunc(x.best.slots, x.byOrder)
	slices.SortFunc(x.naming.slots, x.byOrder)
	slices.SortFunc(x.metric.slots, x.byMetric)
	for _, r := range x.epochs {
		slices.SortFunc(r.slots, x.byEpoch)
	}
	for _, r := range x.steps {
		slices.SortFunc(r.slots, x.byStep)
	}
}

// rankings calls f for every ranking that the checkpoint in a slot belongs to.
func (x *Index) rankings(slot int, f func(r *ranking, before comparison)) {
	c := &x.cs[slot]
	committed := c.committed()
	if committed {
		f(&x.committed, x.byOrder)
		if rank := x.config.Resume.rank(x.config.Resume.kindOf(*c)); rank < len(x.byRank) {
			f(&x.byRank[rank], x.byOrder)
		}
		if c.is(layout.Best) {
			f(&x.best, x.byOrder)
		}
		if c.BestName != "" {
			f(&x.naming, x.byOrder)
		}
		if x.goesBy != nil {
			if _, ok := x.goesBy.value(c); ok {
				f(&x.metric, x.byMetric)
			}
		}
	}
	if !committed && c.State != History {
		return
	}
	if c.Epoch != nil {
		f(rankingAt(x.epochs, *c.Epoch), x.byEpoch)
	}
	if c.GlobalStep != nil {
		f(rankingAt(x.steps, *c.GlobalStep), x.byStep)
	}
}

// Latest is the slot of what latest/ leads to, -1 for nothing.
func (x *Index) Latest() int { return x.committed.top() }

// Resume does so for resume/: the most advanced checkpoint of the first kind in
// resume.order that has one, or of all of them.
func (x *Index) Resume() int {
	target := -1
	for i := range x.byRank {
		top := x.byRank[i].top()
		switch {
		case top < 0:
		case x.config.Resume.prefersPriority():
			return top
		case target < 0 || x.byOrder(top, target) > 0:
			target = top
		}
	}
	return target
}

// Best does so for best/.
func (x *Index) Best() int {
	if x.config.Best.Metric != "" {
		return x.metric.top()
	}
	if top := x.best.top(); top >= 0 {
		return top
	}
	if top := x.named(); top >= 0 {
		return top
	}
	return x.metric.top()
}

// named is what the most advanced checkpoint that says so calls the best so far.
// Is that gone, an older word is no better.
func (x *Index) named() int {
	target, says := -1, x.naming.top()
	if says < 0 {
		return target
	}
	if x.names == nil {
		x.names = make(map[string][]int, len(x.committed.slots))
		for _, slot := range x.committed.slots {
			x.names[x.cs[slot].Name] = append(x.names[x.cs[slot].Name], slot)
		}
	}
	for _, slot := range x.names[x.cs[says].BestName] {
		if target < 0 || x.byOrder(slot, target) > 0 {
			target = slot
		}
	}
	return target
}

// Epoch is the slot of what by-epoch/ has for an epoch, Step that of what by-step/
// has for a global step; -1 for nothing.
func (x *Index) Epoch(n int64) int { return x.epochs[n].top() }

// Step is the same for a global step.
func (x *Index) Step(n int64) int { return x.steps[n].top() }

// Epochs and Steps are the numbers that there are, in no order.
func (x *Index) Epochs() []int64 { return numbersOf(x.epochs) }

// Steps are the global steps.
func (x *Index) Steps() []int64 { return numbersOf(x.steps) }

// HasEpochs and HasSteps report whether there is any.
func (x *Index) HasEpochs() bool { return len(x.epochs) > 0 }

// HasSteps is the same for global steps.
func (x *Index) HasSteps() bool { return len(x.steps) > 0 }

// byOrder is the order of latest/.
func (x *Index) byOrder(i, j int) int {
	x.compared++
	return cmp.Or(x.order.compare(&x.cs[i], &x.cs[j]), cmp.Compare(j, i))
}

// byMetric is the order of best/ by a metric. Trainers that store the best value
// so far write it into every later checkpoint too, so among equals the trainer's
// own best one goes first; then the one with more progress, then the name.
func (x *Index) byMetric(i, j int) int {
	x.compared++
	p, a, b := x.goesBy, &x.cs[i], &x.cs[j]
	f, _ := p.value(a)
	g, _ := p.value(b)
	return cmp.Or(
		p.better(f, g),
		compareBool(a.is(layout.Best), b.is(layout.Best)),
		x.order.progress(a.Progress, b.Progress),
		byName(a, b),
		cmp.Compare(j, i),
	)
}

// byEpoch is the order of what by-epoch/ may show for one epoch: the epoch's end,
// else its most advanced save. Of equal ones a committed one goes before an
// earlier version; then a name that carries its numbers, the resume order, the
// later commit. Within an epoch its own steps decide.
func (x *Index) byEpoch(i, j int) int {
	x.compared++
	a, b := &x.cs[i], &x.cs[j]
	priority := ResumePolicy{Order: x.config.Resume.Order}
	return cmp.Or(
		compareBool(a.endsEpoch(), b.endsEpoch()),
		order{}.progress(a.Progress, b.Progress),
		compareBool(a.committed(), b.committed()),
		compareBool(a.numbered(), b.numbered()),
		cmp.Compare(priority.rank(b.Kind), priority.rank(a.Kind)),
		tieBreak(a, b),
		cmp.Compare(j, i),
	)
}

// byStep is the order of what by-step/ may show for one global step: a committed
// one goes before an earlier version; then the order of latest/ decides.
func (x *Index) byStep(i, j int) int {
	x.compared++
	a, b := &x.cs[i], &x.cs[j]
	return cmp.Or(compareBool(a.committed(), b.committed()), tieBreak(a, b), cmp.Compare(j, i))
}
