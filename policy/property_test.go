package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ckptfs/layout"
)

var (
	kindsToDraw = rapid.SampledFrom([]layout.Kind{
		layout.Last, layout.Recovery, layout.MidEpoch, layout.MidEpoch, layout.MidEpoch, layout.EpochEnd,
		layout.Step, layout.Best, layout.Final, layout.Backup, layout.Temp,
	})
	statesToDraw = rapid.SampledFrom([]State{
		Committed, Committed, Committed, Committed, Saving, Incomplete, Invalid, History, Trash, Quarantine,
	})
	// Few numbers, so that ties and contradictions are common.
	number   = rapid.Ptr(rapid.Int64Range(0, 4), true)
	nowToday = start.Add(time.Hour)
)

// run draws a run: anything that the store could report, in any order, with
// knowledge that is missing or contradicts itself.
var run = rapid.Custom(func(t *rapid.T) []Checkpoint {
	cs := make([]Checkpoint, rapid.IntRange(0, 12).Draw(t, "length"))
	for i := range cs {
		cs[i] = Checkpoint{
			ID:          fmt.Sprint(i), // no two versions have the same
			Name:        rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "name"),
			Kind:        kindsToDraw.Draw(t, "kind"),
			State:       statesToDraw.Draw(t, "state"),
			Progress:    layout.Progress{Epoch: number.Draw(t, "epoch"), Step: number.Draw(t, "step"), GlobalStep: number.Draw(t, "global")},
			CommittedAt: start.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "minutes")) * time.Minute),
			Size:        rapid.Int64Range(0, 9).Draw(t, "size"),
			Pinned:      rapid.IntRange(0, 9).Draw(t, "pinned") == 0,
			InUse:       rapid.IntRange(0, 9).Draw(t, "in use") == 0,
			Saving:      rapid.IntRange(0, 9).Draw(t, "saving") == 0,
		}
		if rapid.Bool().Draw(t, "has metric") {
			cs[i].Metrics = map[string]float64{"f1": float64(rapid.IntRange(0, 2).Draw(t, "f1"))}
		}
	}
	return cs
})

// oneScale draws a run whose checkpoints all know their global step, or all
// their epoch and no global step.
var oneScale = rapid.Custom(func(t *rapid.T) []Checkpoint {
	cs := run.Draw(t, "any run")
	globalSteps := rapid.Bool().Draw(t, "global steps")
	for i := range cs {
		if globalSteps {
			cs[i].GlobalStep = new(rapid.Int64Range(1, 5).Draw(t, "step"))
		} else {
			cs[i].GlobalStep, cs[i].Epoch = nil, new(rapid.Int64Range(1, 3).Draw(t, "epoch"))
		}
	}
	return cs
})

var resolution = rapid.Custom(func(t *rapid.T) Config {
	c := Default()
	c.Resume.Prefer = rapid.SampledFrom([]string{PreferPriority, PreferProgress}).Draw(t, "prefer")
	c.Resume.Order = rapid.SliceOfNDistinct(kindsToDraw, 1, 4, func(k layout.Kind) layout.Kind { return k }).Draw(t, "order")
	c.Best.Metric = rapid.SampledFrom([]string{"", "f1"}).Draw(t, "metric")
	c.Best.Mode = rapid.SampledFrom([]string{ModeMax, ModeMin}).Draw(t, "mode")
	return c
})

var rule = rapid.Custom(func(t *rapid.T) Rule {
	return Rule{
		KeepLast:       rapid.Ptr(rapid.IntRange(0, 3), true).Draw(t, "keep_last"),
		KeepEvery:      rapid.IntRange(0, 2).Draw(t, "keep_every"),
		KeepEverySteps: rapid.Int64Range(0, 2).Draw(t, "keep_every_steps"),
		MaxAge:         time.Duration(rapid.SampledFrom([]int{0, 0, 58, 59}).Draw(t, "max_age")) * time.Minute,
		When:           rapid.SampledFrom([]string{WhenEpochEnd, WhenAlways}).Draw(t, "when"),
	}
})

var retention = rapid.Custom(func(t *rapid.T) Retention {
	return Retention{
		MidEpoch: rule.Draw(t, "mid_epoch"), Step: rule.Draw(t, "step"), EpochEnd: rule.Draw(t, "epoch_end"),
		Best:         Rule{KeepLast: rapid.Ptr(rapid.IntRange(0, 3), true).Draw(t, "best")},
		History:      Rule{KeepLast: rapid.Ptr(rapid.IntRange(0, 2), true).Draw(t, "history"), MaxAge: rule.Draw(t, "age").MaxAge},
		NumberedOnly: rapid.Bool().Draw(t, "numbered only"),
	}
})

// TestResolveIgnoresOrder: the store lists directories in any order.
func TestResolveIgnoresOrder(t *testing.T) {
	// inIDs replaces the indices, which depend on the order, by ids.
	inIDs := func(cs []Checkpoint, v Views) map[string]any {
		id := func(i int) string {
			if i < 0 {
				return ""
			}
			return cs[i].ID
		}
		ids := func(index map[int64]int) map[int64]string {
			m := map[int64]string{}
			for k, i := range index {
				m[k] = id(i)
			}
			return m
		}
		return map[string]any{
			"latest": id(v.Latest.Target), "resume": id(v.Resume.Target), "best": id(v.Best.Target),
			"by-epoch": ids(v.ByEpoch), "by-step": ids(v.ByStep), "remedy": v.Remedy,
			"skipped": [][]Skip{v.Latest.Skipped, v.Resume.Skipped, v.Best.Skipped},
			"reasons": []string{v.Latest.Reason, v.Resume.Reason, v.Best.Reason},
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		cs, config, policy := run.Draw(t, "run"), resolution.Draw(t, "config"), retention.Draw(t, "retention")
		shuffled := rapid.Permutation(cs).Draw(t, "shuffled")
		v, w := Resolve(cs, config), Resolve(shuffled, config)
		if diff := cmp.Diff(inIDs(cs, v), inIDs(shuffled, w)); diff != "" {
			t.Fatalf("views depend on the order:\n%s", diff)
		}
		if diff := cmp.Diff(Retain(cs, v, policy, nowToday), Retain(shuffled, w, policy, nowToday)); diff != "" {
			t.Fatalf("decisions depend on the order:\n%s", diff)
		}
	})
}

// TestViewsAreCommitted: latest, resume and best show a committed checkpoint,
// by-epoch and by-step that or an earlier version, of the right number.
func TestViewsAreCommitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, config := run.Draw(t, "run"), resolution.Draw(t, "config")
		v := Resolve(cs, config)
		for _, res := range []Resolution{v.Latest, v.Resume, v.Best} {
			if res.Target >= 0 && cs[res.Target].State != Committed {
				t.Fatalf("resolved to %+v", cs[res.Target])
			}
			if res.Reason == "" {
				t.Fatal("a resolution has no reason")
			}
			for _, skip := range res.Skipped {
				if skip.Name == "" || skip.Reason == "" {
					t.Fatalf("skipped without a reason: %+v", skip)
				}
			}
		}
		for epoch, i := range v.ByEpoch {
			if *cs[i].Epoch != epoch || cs[i].State != Committed && cs[i].State != History {
				t.Fatalf("by-epoch/%d resolved to %+v", epoch, cs[i])
			}
		}
		for step, i := range v.ByStep {
			if *cs[i].GlobalStep != step || cs[i].State != Committed && cs[i].State != History {
				t.Fatalf("by-step/%d resolved to %+v", step, cs[i])
			}
		}
		if resumable := slices.ContainsFunc(cs, func(c Checkpoint) bool {
			return c.committed() && config.Resume.has(c.Kind)
		}); resumable != (v.Resume.Target >= 0) {
			t.Fatalf("resume/ resolves: %t, though something can be resumed from: %t", !resumable, resumable)
		}
	})
}

// TestLatestIsTheMostAdvanced by Progress.Compare, where that is an order.
func TestLatestIsTheMostAdvanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := oneScale.Draw(t, "run")
		v := Resolve(cs, Default())
		for _, c := range cs {
			if c.committed() && c.Compare(cs[v.Latest.Target].Progress) > 0 {
				t.Fatalf("latest/ is %+v, but %+v is further", cs[v.Latest.Target], c)
			}
		}
	})
}

// TestPreferProgressFollowsLatest: both choose by one order.
func TestPreferProgressFollowsLatest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, config := run.Draw(t, "run"), resolution.Draw(t, "config")
		config.Resume.Prefer = PreferProgress
		v := Resolve(cs, config)
		if v.Latest.Target >= 0 && slices.Contains(config.Resume.Order, cs[v.Latest.Target].Kind) && v.Resume.Target != v.Latest.Target {
			t.Fatalf("latest/ is %+v, resume/ is %+v", cs[v.Latest.Target], cs[v.Resume.Target])
		}
	})
}

// TestHintHelps: whoever does what Behind says is not behind any more.
func TestHintHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, config := run.Draw(t, "run"), resolution.Draw(t, "config")
		v := Resolve(cs, config)
		if _, _, hint := Behind(cs, v); (hint == "") != (v.Remedy == "") {
			t.Fatalf("remedy %q, hint %q", v.Remedy, hint)
		}
		if v.Remedy == "" {
			return
		}
		kind := cs[v.Latest.Target].Kind
		switch v.Remedy {
		case "set resume.prefer: progress":
			config.Resume.Prefer = PreferProgress
		case fmt.Sprintf("add %s to resume.order", kind):
			config.Resume.Order = append(config.Resume.Order, kind)
		case fmt.Sprintf("add %s to resume.order and set resume.prefer: progress", kind):
			config.Resume.Order = append(config.Resume.Order, kind)
			config.Resume.Prefer = PreferProgress
		default:
			t.Fatalf("unknown remedy %q", v.Remedy)
		}
		if again := Resolve(cs, config); again.Remedy != "" {
			t.Fatalf("after %q the remedy is %q", v.Remedy, again.Remedy)
		}
	})
}

// byID finds the decision about a version.
func byID(ds []Decision, id string) Decision {
	return ds[slices.IndexFunc(ds, func(d Decision) bool { return d.ID == id })]
}

// TestRetainSparesWhatMatters is promise P6.
func TestRetainSparesWhatMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := run.Draw(t, "run")
		v := Resolve(cs, resolution.Draw(t, "config"))
		ds := Retain(cs, v, retention.Draw(t, "retention"), nowToday)
		if len(ds) != len(cs) {
			t.Fatalf("%d decisions about %d checkpoints", len(ds), len(cs))
		}
		var spared []int
		for _, i := range []int{v.Latest.Target, v.Resume.Target, v.Best.Target} {
			if i >= 0 {
				spared = append(spared, i)
			}
		}
		for i, c := range cs {
			judged := c.State == Committed && c.Kind != layout.Temp || c.State == History
			if !judged || c.Pinned || c.InUse || c.Saving {
				spared = append(spared, i)
			}
			if d := byID(ds, c.ID); len(d.Reasons) == 0 || slices.Contains(d.Reasons, "") {
				t.Fatalf("no reason for %+v", d)
			} else if (d.Action == ActionSkip) == judged {
				t.Fatalf("%s of %+v", d.Action, c)
			}
		}
		for _, i := range spared {
			if d := byID(ds, cs[i].ID); d.Action == ActionDelete {
				t.Fatalf("deletes %+v: %q", cs[i], d.Reasons)
			}
		}
		valid := func(d Decision) bool {
			c := cs[slices.IndexFunc(cs, func(c Checkpoint) bool { return c.ID == d.ID })]
			return c.committed() || c.State == History
		}
		if left := func(d Decision) bool { return valid(d) && d.Action == ActionKeep }; slices.ContainsFunc(ds, valid) && !slices.ContainsFunc(ds, left) {
			t.Fatal("no valid version is left")
		}
		// Refused is what the rules alone would leave nothing of.
		deleted := slices.ContainsFunc(ds, func(d Decision) bool { return d.Action == ActionDelete && d.State == Committed })
		named := slices.ContainsFunc(ds, func(d Decision) bool {
			return d.Action == ActionKeep && d.State == Committed && !d.Spared
		})
		if err := Refusal(ds); (err != nil) != (deleted && !named) {
			t.Fatalf("%v of %+v", err, ds)
		}
	})
}

// TestWiderNeverDeletesMore: whatever is kept more of, for longer or in more
// space, no checkpoint goes that stayed before.
func TestWiderNeverDeletesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := run.Draw(t, "run")
		v := Resolve(cs, resolution.Draw(t, "config"))
		narrow := limited.Draw(t, "retention")
		wide := narrow
		for _, r := range []*Rule{&wide.MidEpoch, &wide.EpochEnd, &wide.History} {
			if r.widen(t); rapid.IntRange(0, 4).Draw(t, "no rule") == 0 {
				*r = Rule{}
			}
		}
		wide.Best.widen(t) // without one the best of other kinds would not be kept by it
		wide.Step.widen(t) // without one the rules of mid_epoch would hold
		if rapid.Bool().Draw(t, "numbered only") {
			wide.NumberedOnly = true
		}
		for _, budget := range []*Share{&wide.MaxTotal, &wide.HistoryTotal} {
			switch {
			case budget.Bytes == 0:
			case rapid.IntRange(0, 4).Draw(t, "no limit") == 0:
				*budget = Share{}
			default:
				budget.Bytes += rapid.Int64Range(0, 20).Draw(t, "more room")
			}
		}
		// A budget takes what the rules leave, so it takes more where they leave
		// more; that is no wider policy.
		rules := func(r Retention) Retention { r.MaxTotal, r.HistoryTotal = Share{}, Share{}; return r }
		budgets := func(r Retention) Retention {
			b := narrow
			b.MaxTotal, b.HistoryTotal = r.MaxTotal, r.HistoryTotal
			return b
		}
		for what, pair := range map[string][2]Retention{
			"rules": {rules(narrow), rules(wide)}, "budgets": {narrow, budgets(wide)},
		} {
			few, many := Retain(cs, v, pair[0], nowToday), Retain(cs, v, pair[1], nowToday)
			for i, d := range many {
				if d.Action == ActionDelete && few[i].Action != ActionDelete {
					t.Fatalf("wider %s delete %+v", what, d)
				}
			}
			if Reclaimable(many) > Reclaimable(few) {
				t.Fatalf("wider %s reclaim more", what)
			}
		}
	})
}

// widen has a rule keep more, or the same.
func (r *Rule) widen(t *rapid.T) {
	if r.KeepLast != nil {
		r.KeepLast = new(*r.KeepLast + rapid.IntRange(0, 2).Draw(t, "more"))
	} else if r.keeps() && rapid.Bool().Draw(t, "another rule") {
		r.KeepLast = new(rapid.IntRange(0, 2).Draw(t, "so many")) // a union: it names some more
	}
	if r.MaxAge > 0 && r.keeps() {
		r.MaxAge = rapid.SampledFrom([]time.Duration{0, r.MaxAge, 2 * r.MaxAge}).Draw(t, "older")
	}
	r.When = rapid.SampledFrom([]string{r.When, WhenEpochEnd}).Draw(t, "when")
}

// TestRetainTwice: what is kept once is kept again, and the views do not move.
// Where knowledge is mixed, a deletion may change the scale and so both.
func TestRetainTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, config, policy := oneScale.Draw(t, "run"), resolution.Draw(t, "config"), retention.Draw(t, "retention")
		v := Resolve(cs, config)
		ds := Retain(cs, v, policy, nowToday)
		left := slices.DeleteFunc(slices.Clone(cs), func(c Checkpoint) bool { return byID(ds, c.ID).Action == ActionDelete })
		w := Resolve(left, config)
		for _, view := range []struct{ before, after Resolution }{{v.Latest, w.Latest}, {v.Resume, w.Resume}, {v.Best, w.Best}} {
			if i, j := view.before.Target, view.after.Target; (i < 0) != (j < 0) || i >= 0 && cs[i].ID != left[j].ID {
				t.Fatalf("a view moved from %+v to %+v", view.before, view.after)
			}
		}
		for _, d := range Retain(left, w, policy, nowToday) {
			if d.Action == ActionDelete {
				t.Fatalf("the second time it deletes %+v", d)
			}
		}
	})
}
