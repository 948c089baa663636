package policy

import (
	"fmt"

	"ckptfs/layout"
)

// Views says what every view of a run resolves to.
type Views struct {
	Latest, Resume, Best Resolution
	// ByEpoch and ByStep map an epoch and a global step to an index into the
	// checkpoints that were resolved.
	ByEpoch, ByStep map[int64]int
	// Ranking orders the checkpoints by the metric that best/ goes by; nil where
	// it goes by none.
	Ranking *Ranking
	// Remedy is the change to the configuration that makes resume/ follow
	// latest/; "" while it does.
	Remedy string
}

// Ranking is the order of a run by a metric.
type Ranking struct {
	Metric string
	Best   []int // the committed checkpoints that have it, the best first
}

// Resolution is what one view resolves to, and why.
type Resolution struct {
	Target  int // index into the checkpoints, -1 when nothing resolves
	Reason  string
	Skipped []Skip // what the view could have shown, the most eligible first
}

// Skip is a checkpoint that a view passed over.
type Skip struct {
	Name   string
	Reason string
}

// Resolve decides what each view shows. Only committed checkpoints resolve for
// latest, resume and best; earlier versions count for by-epoch and by-step,
// so that an epoch that was overwritten stays reachable. The result does not
// depend on the order of cs, but for the indices in it.
func Resolve(cs []Checkpoint, c Config) Views {
	x := NewIndex(cs, c)
	r := resolver{
		Index:     x,
		committed: x.committed.downwards(),
		others:    newestFirst(cs, Checkpoint.unusable),
	}
	v := Views{
		Latest:  r.latest(),
		Resume:  r.resume(c.Resume),
		Best:    r.best(c.Best),
		Ranking: r.ranking(c.Best),
		ByEpoch: tops(x.epochs),
		ByStep:  tops(x.steps),
	}
	v.Remedy = r.remedy(v, c.Resume)
	return v
}

// resolver says why the views lead where its Index has them lead, and what they
// pass over.
type resolver struct {
	*Index
	committed []int // newest first
	others    []int // the unusable ones, newest first on a scale of their own
}

// latest resolves to the committed checkpoint with the most progress.
func (r *resolver) latest() Resolution {
	if len(r.committed) == 0 {
		return r.nothing("no checkpoint is committed", r.others)
	}
	target := r.Latest()
	winner := r.cs[target]
	reason := "the most progress: " + winner.Progress.String()
	if !winner.Known() {
		reason = "the last one committed; no checkpoint tells its progress"
	}
	res := Resolution{Target: target, Reason: reason}
	for _, i := range r.others {
		if r.mayBeAhead(r.cs[i], winner) {
			res.skip(r.cs[i], r.cs[i].stateReason())
		}
	}
	return res
}

// mayBeAhead reports whether c is not known to be behind the winner or level
// with it. A save that died early does not tell its progress, and the user
// should hear of it.
func (r *resolver) mayBeAhead(c, winner Checkpoint) bool {
	return !c.Known() || c.Progress.Compare(winner.Progress) > 0
}

// nothing is a resolution without a target; unusable are the candidates.
func (r *resolver) nothing(reason string, unusable []int) Resolution {
	res := Resolution{Target: -1, Reason: reason}
	for _, i := range unusable {
		res.skip(r.cs[i], r.cs[i].stateReason())
	}
	return res
}

func (res *Resolution) skip(c Checkpoint, reason string) {
	res.Skipped = append(res.Skipped, Skip{Name: c.Name, Reason: reason})
}

// ofKind keeps the indices of one kind, in their order.
func (r *resolver) ofKind(indices []int, kind layout.Kind) []int {
	var out []int
	for _, i := range indices {
		if r.cs[i].is(kind) {
			out = append(out, i)
		}
	}
	return out
}

// describe is how a reason says where c stands.
func describe(c Checkpoint) string {
	if !c.Known() {
		return "the progress of " + c.Name + " is unknown"
	}
	return fmt.Sprintf("%s is %s", c.Name, c.Progress)
}
