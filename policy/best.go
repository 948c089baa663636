package policy

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ckptfs/layout"
)

// best resolves to the best of all committed checkpoints by the configured
// metric. Without one it is the checkpoint that the trainer calls the best, by
// its kind or in the metadata of the others; else the best by the metric that is
// usual with this trainer.
func (r *resolver) best(p BestPolicy) Resolution {
	if p.Metric != "" {
		return r.bestBy(p)
	}
	res := r.trainersBest()
	if res.Target >= 0 {
		return res
	}
	if named := r.namedBest(); named.Target >= 0 {
		return named
	}
	if p.Usual != nil {
		if usual := r.bestBy(*p.Usual); usual.Target >= 0 {
			return usual
		}
	}
	return res
}

// namedBest is what the most advanced checkpoint that says so calls the best so
// far.
func (r *resolver) namedBest() Resolution {
	target := r.named()
	if target < 0 {
		return Resolution{Target: -1}
	}
	return Resolution{Target: target, Reason: fmt.Sprintf("%s calls it the best so far", r.cs[r.naming.top()].Name)}
}

// trainersBest is the checkpoint that the trainer itself calls the best.
func (r *resolver) trainersBest() Resolution {
	unusable := r.ofKind(r.others, layout.Best)
	target := r.Index.best.top()
	if target < 0 {
		return r.nothing("no best checkpoint is committed; best.metric chooses one by a metric", unusable)
	}
	winner := r.cs[target]
	res := Resolution{
		Target: target,
		Reason: fmt.Sprintf("the trainer's best checkpoint: %s", winner.Progress),
	}
	for _, i := range unusable {
		if r.mayBeAhead(r.cs[i], winner) {
			res.skip(r.cs[i], r.cs[i].stateReason())
		}
	}
	return res
}

// bestBy compares a metric.
func (r *resolver) bestBy(p BestPolicy) Resolution {
	ranked := r.metric.downwards()
	if len(ranked) == 0 {
		res := r.nothing(r.noMetric(p.Metric), r.others)
		for _, i := range r.committed {
			res.skip(r.cs[i], fmt.Sprintf("no %s in its metadata", p.Metric))
		}
		return res
	}
	most := map[bool]string{true: "lowest", false: "highest"}[p.Mode == ModeMin]
	bestValue, _ := p.value(&r.cs[ranked[0]])
	res := Resolution{Target: ranked[0], Reason: fmt.Sprintf("%s %s is the %s of %s",
		p.Metric, formatFloat(bestValue), most, plural(int64(len(ranked)), "committed checkpoint"))}
	for _, i := range r.others {
		if f, ok := p.value(&r.cs[i]); !ok && r.cs[i].is(layout.Best) || ok && p.better(f, bestValue) > 0 {
			res.skip(r.cs[i], r.cs[i].stateReason())
		}
	}
	for _, i := range r.committed {
		if _, ok := p.value(&r.cs[i]); !ok {
			res.skip(r.cs[i], fmt.Sprintf("no %s in its metadata", p.Metric))
		}
	}
	return res
}

// ranking is the order of the run by the configured metric, else by the one that
// is usual with this trainer; nil where there is neither, or nothing has it.
func (r *resolver) ranking(p BestPolicy) *Ranking {
	if r.metric.empty() {
		return nil
	}
	return &Ranking{p.metric().Metric, r.metric.downwards()}
}

// metric is the policy whose metric best/ may go by: the configured one, else the
// one that is usual with this trainer; nil where there is neither.
func (p BestPolicy) metric() *BestPolicy {
	if p.Metric != "" {
		return &p
	}
	return p.Usual
}

// value is the metric of a checkpoint, if it has one. NaN is none.
func (p *BestPolicy) value(c *Checkpoint) (float64, bool) {
	f, ok := c.Metrics[p.Metric]
	return f, ok && !math.IsNaN(f)
}

// better is positive where a is.
func (p *BestPolicy) better(a, b float64) int {
	if p.Mode == ModeMin {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// noMetric names the metrics that there are, for the configured one is most
// often a misspelling.
func (r *resolver) noMetric(metric string) string {
	known := map[string]bool{}
	for _, i := range r.committed {
		for name := range r.cs[i].Metrics {
			known[name] = true
		}
	}
	reason := fmt.Sprintf("no committed checkpoint has the metric %s (best.metric)", metric)
	if len(known) > 0 {
		reason += "; there are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
	}
	return reason
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }
