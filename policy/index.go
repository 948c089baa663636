package policy

import (
	"cmp"

	"ckptfs/layout"
)

// byEpoch finds the checkpoint for every epoch: the epoch's end, else its most
// advanced save. Of equal ones a committed one goes before an earlier version;
// then a name that carries its numbers, the resume order, the later commit.
func (r *resolver) byEpoch(resumeOrder []layout.Kind) map[int64]int {
	priority := ResumePolicy{Order: resumeOrder}
	epochs := order{} // within an epoch its own steps decide
	return r.index(
		func(c Checkpoint) *int64 { return c.Epoch },
		func(a, b Checkpoint) int {
			return cmp.Or(
				compareBool(a.endsEpoch(), b.endsEpoch()),
				epochs.progress(a.Progress, b.Progress),
				compareBool(a.committed(), b.committed()),
				compareBool(a.numbered(), b.numbered()),
				cmp.Compare(priority.rank(b.Kind), priority.rank(a.Kind)),
				tieBreak(a, b),
			)
		})
}

// byStep finds the checkpoint of exactly a global step. Of several a committed
// one goes before an earlier version; then the order of latest/ decides.
func (r *resolver) byStep() map[int64]int {
	return r.index(
		func(c Checkpoint) *int64 { return c.GlobalStep },
		func(a, b Checkpoint) int {
			return cmp.Or(compareBool(a.committed(), b.committed()), tieBreak(a, b))
		})
}

// index maps every key to the greatest of the checkpoints that have it.
func (r *resolver) index(key func(Checkpoint) *int64, compare func(a, b Checkpoint) int) map[int64]int {
	index := map[int64]int{}
	for i, c := range r.cs {
		k := key(c)
		if k == nil || !c.committed() && c.State != History {
			continue
		}
		if j, taken := index[*k]; !taken || compare(c, r.cs[j]) > 0 {
			index[*k] = i
		}
	}
	return index
}
