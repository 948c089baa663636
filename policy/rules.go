package policy

import (
	"fmt"
	"slices"
	"time"

	"ckptfs/layout"
)

// verdict is what the rules alone say about a checkpoint, before what protects
// it is heard.
type verdict struct {
	drop    bool
	named   bool // a keep rule says that it stays
	reasons []string
}

// judgement applies the rules of one Retain.
type judgement struct {
	cs       []Checkpoint
	now      time.Time
	verdicts []verdict // by index into cs
}

// judge is the verdict on every checkpoint, by index. It means something for
// committed ones and earlier versions only.
func judge(cs []Checkpoint, v Views, r Retention, now time.Time) []verdict {
	j := &judgement{cs: cs, now: now, verdicts: make([]verdict, len(cs))}
	for i, c := range cs {
		switch {
		case c.State == History:
			j.keep(i, "no rule for history: kept")
		case r.unset():
			j.keep(i, "no retention rule: everything is kept")
		default:
			j.keep(i, fmt.Sprintf("no rule for %s: kept", c.Kind))
		}
	}
	if r.MidEpoch.set() {
		kinds := []layout.Kind{layout.MidEpoch}
		if !r.Step.set() {
			kinds = append(kinds, layout.Step)
		}
		j.midEpoch(r.MidEpoch, kinds)
		if !r.NumberedOnly {
			j.recovery(r.MidEpoch)
		}
	}
	if r.Step.set() {
		j.apply("step", r.Step, j.spareUnknown(j.committed(layout.Step)))
	}
	if r.EpochEnd.set() {
		j.apply("epoch_end", r.EpochEnd, j.spareUnknown(j.committed(layout.EpochEnd)))
	}
	if r.Best.KeepLast != nil {
		j.best(r.Best, v.Ranking)
	}
	if r.History.set() {
		j.history(r.History)
	}
	return j.verdicts
}

// committed returns the committed checkpoints of some kinds, newest first.
func (j *judgement) committed(kinds ...layout.Kind) []int {
	return newestFirst(j.cs, func(c Checkpoint) bool { return c.committed() && slices.Contains(kinds, c.Kind) })
}

// midEpoch judges the mid-epoch checkpoints; with when: epoch_end only those
// whose epoch has ended. Checkpoints that only count steps are judged with them
// and wait for no end: trainers that save so mark none.
func (j *judgement) midEpoch(rule Rule, kinds []layout.Kind) {
	candidates := j.spareUnknown(j.committed(kinds...))
	if rule.When != WhenAlways {
		ended := j.lastEndedEpoch()
		candidates = j.spare(candidates, func(c Checkpoint) string {
			switch {
			case c.Kind == layout.Step:
				return ""
			case c.Epoch == nil:
				return "its epoch is unknown (mid_epoch.when: epoch_end)"
			case ended == nil || *c.Epoch > *ended:
				return fmt.Sprintf("epoch %d has not ended (mid_epoch.when: epoch_end)", *c.Epoch)
			}
			return ""
		})
	}
	j.apply("mid_epoch", rule, candidates)
}

// recovery judges what a crash within an epoch would be resumed from: when the
// end of that epoch is committed it has done its work, and goes with the
// mid-epoch checkpoints. keep_last does not count it, for the next one overwrites
// it anyway.
func (j *judgement) recovery(rule Rule) {
	ended := j.lastEndedEpoch(layout.Recovery)
	for _, i := range j.committed(layout.Recovery) {
		switch c := j.cs[i]; {
		case c.Epoch == nil:
			j.keep(i, "its epoch is unknown, so the rules of mid_epoch do not judge it")
		case ended == nil || *c.Epoch > *ended:
			j.keep(i, fmt.Sprintf("epoch %d has not ended, so a crash may need it", *c.Epoch))
		case j.expired(c, rule):
			j.drop(i, older(rule, "mid_epoch"))
		case rule.keeps():
			j.drop(i, fmt.Sprintf("the end of epoch %d is committed (mid_epoch)", *c.Epoch))
		default:
			j.keep(i, younger(rule, "mid_epoch"))
		}
	}
}

// best names the best checkpoints of the run, whatever the rules of their kinds
// say; of those that the trainer calls the best the others go. Where best/ goes by
// no metric a later best one is a better one.
func (j *judgement) best(rule Rule, ranking *Ranking) {
	if ranking == nil {
		j.apply("best", rule, j.committed(layout.Best))
		return
	}
	n := *rule.KeepLast
	for place, i := range ranking.Best {
		if place >= n {
			break
		}
		reason := fmt.Sprintf("among the %d best by %s (best.keep: %d)", n, ranking.Metric, n)
		if n == 1 {
			reason = fmt.Sprintf("the best by %s (best.keep: 1)", ranking.Metric)
		}
		if j.verdicts[i].named {
			j.keep(i, append([]string{reason}, j.verdicts[i].reasons...)...)
		} else {
			j.keep(i, reason)
		}
		j.verdicts[i].named = true
	}
	for _, i := range j.committed(layout.Best) {
		switch {
		case !slices.Contains(ranking.Best, i):
			j.keep(i, fmt.Sprintf("its metadata does not tell %s (best.keep)", ranking.Metric))
		case !j.verdicts[i].named && n == 0:
			j.drop(i, "none is kept (best.keep: 0)")
		case !j.verdicts[i].named:
			j.drop(i, fmt.Sprintf("not among the %d best by %s (best.keep: %d)", n, ranking.Metric, n))
		}
	}
}

// lastEndedEpoch is the greatest epoch whose end is committed, by a checkpoint of
// another kind than some. A best checkpoint and a backup do not count: the one may
// hold weights alone, the other is about to be removed by the trainer.
func (j *judgement) lastEndedEpoch(but ...layout.Kind) *int64 {
	var last *int64
	for _, c := range j.cs {
		if !c.committed() || !c.endsEpoch() || c.Kind == layout.Best || c.Kind == layout.Backup || slices.Contains(but, c.Kind) {
			continue
		}
		if last == nil || *c.Epoch > *last {
			last = c.Epoch
		}
	}
	return last
}

// history judges the earlier versions of each name by themselves, the one that
// was overwritten last first.
func (j *judgement) history(rule Rule) {
	versions := map[string][]int{}
	for i, c := range j.cs {
		if c.State == History {
			versions[c.Name] = append(versions[c.Name], i)
		}
	}
	for _, candidates := range versions {
		slices.SortFunc(candidates, func(a, b int) int {
			if c := j.cs[b].CommittedAt.Compare(j.cs[a].CommittedAt); c != 0 {
				return c
			}
			return byName(&j.cs[b], &j.cs[a])
		})
		j.apply("history", rule, candidates)
	}
}

// spareUnknown keeps the candidates whose progress is unknown: a rule that
// counts from the newest would take them for the oldest.
func (j *judgement) spareUnknown(candidates []int) []int {
	return j.spare(candidates, func(c Checkpoint) string {
		if !c.Known() {
			return "its progress is unknown, so no rule can judge it"
		}
		return ""
	})
}

// spare keeps the candidates that have a reason, and returns the others.
func (j *judgement) spare(candidates []int, reason func(Checkpoint) string) []int {
	var others []int
	for _, i := range candidates {
		if why := reason(j.cs[i]); why != "" {
			j.keep(i, why)
		} else {
			others = append(others, i)
		}
	}
	return others
}

// apply judges the candidates, which are newest first. The keep rules are a
// union; max_age takes what is older from whatever they kept.
func (j *judgement) apply(section string, rule Rule, candidates []int) {
	newest := make([]Checkpoint, len(candidates))
	for place, i := range candidates {
		newest[place] = j.cs[i]
	}
	keeps := rule.keepRules(section, newest)
	for place, i := range candidates {
		if j.expired(newest[place], rule) {
			j.drop(i, older(rule, section))
			continue
		}
		var kept, dropped []string
		for _, keep := range keeps {
			if ok, reason := keep(place, newest[place]); ok {
				kept = append(kept, reason)
			} else {
				dropped = append(dropped, reason)
			}
		}
		switch {
		case len(kept) > 0:
			j.keep(i, kept...)
			j.verdicts[i].named = true
		case len(dropped) > 0:
			j.drop(i, dropped...)
		default:
			j.keep(i, younger(rule, section))
		}
	}
}

// expired reports whether c is older than the rule lets it become. What has no
// commit time has no age.
func (j *judgement) expired(c Checkpoint, rule Rule) bool {
	return rule.MaxAge > 0 && !c.CommittedAt.IsZero() && j.now.Sub(c.CommittedAt) > rule.MaxAge
}

func older(rule Rule, section string) string {
	return fmt.Sprintf("older than %s (%s.max_age)", formatDuration(rule.MaxAge), section)
}

func younger(rule Rule, section string) string {
	return fmt.Sprintf("younger than %s (%s.max_age)", formatDuration(rule.MaxAge), section)
}

func (j *judgement) keep(i int, reasons ...string) { j.verdicts[i] = verdict{reasons: reasons} }
func (j *judgement) drop(i int, reasons ...string) {
	j.verdicts[i] = verdict{drop: true, reasons: reasons}
}
