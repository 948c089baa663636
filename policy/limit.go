package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"ckptfs/layout"
)

// A limit (max_total, history.max_total, min_free) takes what the rules alone would leave: earlier
// versions first, then the least advanced checkpoints whose names carry their
// numbers, those within an epoch before those at its end. It never takes what is
// protected, what a keep rule names, what is overwritten by the next save (last,
// recovery, best), or what nobody can order.

// Room lists what a run may give up when space is short, what matters least
// first: earlier versions, what the rules do not keep, and, where
// retention.min_free is set, what a limit takes. The caller carries out as many
// as it needs, from the front.
func Room(cs []Checkpoint, v Views, r Retention, now time.Time) []Decision {
	verdicts, protected := judge(cs, v, r, now), protections(cs, v)
	var list []Decision
	take := func(i int, reasons ...string) {
		list = append(list, decision(cs[i], ActionDelete, reasons...))
	}
	var dropped []int
	for i, c := range cs {
		if c.committed() && verdicts[i].drop && len(protected[i]) == 0 {
			dropped = append(dropped, i)
		}
	}
	slices.SortFunc(dropped, leastAdvanced(cs))
	spare := expendable(cs, verdicts, protected)
	for _, i := range spare {
		if cs[i].State == History {
			take(i, "an earlier version: given up because space is short")
		}
	}
	for _, i := range dropped {
		take(i, verdicts[i].reasons...)
	}
	for _, i := range spare {
		if cs[i].State != History && r.MinFree.set() {
			take(i, fmt.Sprintf("the least advanced that no rule names: given up because space is short (min_free: %s)", r.MinFree))
		}
	}
	return list
}

// limitTotals has the verdicts drop what exceeds history.max_total, then
// max_total.
func limitTotals(cs []Checkpoint, verdicts []verdict, protected [][]string, r Retention) {
	for _, limit := range []struct {
		Share
		counts func(Checkpoint) bool
		reason string // with what it takes and the limit
	}{
		{r.HistoryTotal, func(c Checkpoint) bool { return c.State == History },
			"the least advanced earlier version, and they take %s (history.max_total: %s)"},
		{r.MaxTotal, func(c Checkpoint) bool { return c.committed() || c.State == History },
			"the least advanced that no rule names, and the run takes %s (max_total: %s)"},
	} {
		if limit.Bytes == 0 {
			continue
		}
		total := int64(0)
		for i, c := range cs {
			if gone := verdicts[i].drop && len(protected[i]) == 0; limit.counts(c) && !gone {
				total += c.Size - c.Shared
			}
		}
		for _, i := range expendable(cs, verdicts, protected) {
			if total > limit.Bytes && limit.counts(cs[i]) {
				verdicts[i] = verdict{drop: true, reasons: []string{fmt.Sprintf(limit.reason, humanize.Bytes(uint64(total)), limit.Share)}}
				total -= cs[i].Size - cs[i].Shared
			}
		}
	}
}

// expendable lists what a limit may take from what the rules leave, in the order
// in which it goes.
func expendable(cs []Checkpoint, verdicts []verdict, protected [][]string) []int {
	var list []int
	for i, c := range cs {
		rank := expendableRank(c)
		if rank == kept || len(protected[i]) > 0 || verdicts[i].drop || verdicts[i].named && c.State != History {
			continue
		}
		list = append(list, i)
	}
	byProgress := leastAdvanced(cs)
	slices.SortFunc(list, func(i, j int) int {
		return cmp.Or(cmp.Compare(expendableRank(cs[i]), expendableRank(cs[j])), byProgress(i, j))
	})
	return list
}

// The ranks of what a limit takes, in the order in which it goes.
const (
	earlierVersion = iota
	withinEpoch
	atEpochEnd
	kept
)

func expendableRank(c Checkpoint) int {
	switch {
	case c.State == History:
		return earlierVersion
	case !c.committed() || !c.Known():
		return kept
	case c.Kind == layout.MidEpoch || c.Kind == layout.Step:
		return withinEpoch
	case c.Kind == layout.EpochEnd:
		return atEpochEnd
	}
	return kept
}

// leastAdvanced orders indices by progress; of two versions with the same the
// one that was committed first goes first.
func leastAdvanced(cs []Checkpoint) func(i, j int) int {
	order := orderOf(cs, func(Checkpoint) bool { return true })
	return func(i, j int) int {
		return cmp.Or(
			order.progress(cs[i].Progress, cs[j].Progress),
			cs[i].CommittedAt.Compare(cs[j].CommittedAt),
			byName(&cs[j], &cs[i]),
		)
	}
}

func decision(c Checkpoint, action Action, reasons ...string) Decision {
	return Decision{Name: c.Name, ID: c.ID, State: c.State, Action: action, Reasons: reasons, Size: c.Size}
}
