package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ckptfs/layout"
)

// TestRoom: what is given up when space is short, and in which order.
func TestRoom(t *testing.T) {
	runs := map[string][]Checkpoint{"messy": messyRun(), "long": longRun()}
	minFree := Share{Percent: 10}
	for _, test := range []struct {
		run, name string
		policy    Retention
	}{
		{"messy", "default", Default().Retention},
		{"messy", "min-free", Retention{MinFree: minFree}},
		{"long", "default", Default().Retention},
		{"long", "rules", Retention{MidEpoch: Rule{KeepLast: new(2)}}},
		{"long", "min-free", Retention{MinFree: minFree}},
		{"long", "min-free-after-the-rules", Retention{
			MidEpoch: Rule{KeepLast: new(2)}, EpochEnd: Rule{KeepEvery: 3}, MinFree: minFree}},
	} {
		t.Run(test.run+"/"+test.name, func(t *testing.T) {
			cs := runs[test.run]
			ds := Room(cs, Resolve(cs, Default()), test.policy, start.Add(time.Hour))
			golden(t, report(test.policy, ds), "policy", "room", test.run, test.name+".txt")
		})
	}
}

// TestMaxTotalCountsOnce: a file that two versions share takes its space once,
// so nothing more has to go than is true.
func TestMaxTotalCountsOnce(t *testing.T) {
	cs := []Checkpoint{
		last(2),
		last(1).but(state(History, "")).but(func(c *Checkpoint) { c.Shared = c.Size - 1e6 }),
		midEpoch(1, 4),
	}
	for _, test := range []struct {
		limit int64
		gone  int
	}{{1001e6, 0}, {1000e6, 1}, {999e6, 2}, {1, 2}} {
		gone := 0
		for _, d := range Retain(cs, Resolve(cs, Default()), Retention{MaxTotal: Share{Bytes: test.limit}}, start) {
			if d.Action == ActionDelete {
				gone++
			}
		}
		if gone != test.gone {
			t.Errorf("max_total %d: %d go, want %d", test.limit, gone, test.gone)
		}
	}
}

// limited draws a policy with limits.
var limited = rapid.Custom(func(t *rapid.T) Retention {
	r := retention.Draw(t, "rules")
	r.MaxTotal.Bytes = rapid.Int64Range(0, 60).Draw(t, "max_total")
	r.HistoryTotal.Bytes = rapid.Int64Range(0, 20).Draw(t, "history.max_total")
	r.MinFree = Share{Bytes: rapid.Int64Range(0, 1).Draw(t, "min_free")}
	return r
})

// TestLimitsSpareWhatMatters is promise P6 for max_total and for what goes when
// space is short: whatever the limit, these stay, and the views do not move.
func TestLimitsSpareWhatMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, config, r := oneScale.Draw(t, "run"), resolution.Draw(t, "config"), limited.Draw(t, "retention")
		v := Resolve(cs, config)
		room := Room(cs, v, r, nowToday)
		for name, ds := range map[string][]Decision{"max_total": Retain(cs, v, r, nowToday), "room": room} {
			gone := map[string]bool{}
			for _, d := range ds {
				if d.Action != ActionDelete {
					continue
				}
				c := cs[slices.IndexFunc(cs, func(c Checkpoint) bool { return c.ID == d.ID })]
				if gone[d.ID] {
					t.Fatalf("%s takes %+v twice", name, c)
				}
				gone[d.ID] = true
				if len(d.Reasons) == 0 || slices.Contains(d.Reasons, "") {
					t.Fatalf("%s: no reason for %+v", name, d)
				}
				if c.Pinned || c.InUse || c.Saving || !c.committed() && c.State != History {
					t.Fatalf("%s takes %+v: %q", name, c, d.Reasons)
				}
			}
			left := slices.DeleteFunc(slices.Clone(cs), func(c Checkpoint) bool { return gone[c.ID] })
			w := Resolve(left, config)
			for _, view := range []struct{ before, after Resolution }{{v.Latest, w.Latest}, {v.Resume, w.Resume}, {v.Best, w.Best}} {
				if i, j := view.before.Target, view.after.Target; (i < 0) != (j < 0) || i >= 0 && cs[i].ID != left[j].ID {
					t.Fatalf("%s: a view moved", name)
				}
			}
			valid := func(c Checkpoint) bool { return c.committed() || c.State == History }
			if slices.ContainsFunc(cs, valid) && !slices.ContainsFunc(left, valid) {
				t.Fatalf("%s: no valid version is left", name)
			}
		}
	})
}

// TestLimitsTakeOnlyWhatTheySay: without a limit only the rules and the history
// give way, and a limit leaves what a keep rule names and what the next save
// overwrites.
func TestLimitsTakeOnlyWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r := run.Draw(t, "run"), limited.Draw(t, "retention")
		v := Resolve(cs, Default())
		rules := r
		rules.MaxTotal, rules.HistoryTotal = Share{}, Share{}
		bare := Retain(cs, v, rules, nowToday)
		named := judge(cs, v, rules, nowToday)
		for name, ds := range map[string][]Decision{"max_total": Retain(cs, v, r, nowToday), "room": Room(cs, v, r, nowToday)} {
			for _, d := range ds {
				if d.Action != ActionDelete || d.State == History || byID(bare, d.ID).Action == ActionDelete {
					continue
				}
				i := slices.IndexFunc(cs, func(c Checkpoint) bool { return c.ID == d.ID })
				if named[i].named || !slices.Contains([]layout.Kind{layout.MidEpoch, layout.Step, layout.EpochEnd}, cs[i].Kind) {
					t.Fatalf("%s takes %+v: %q", name, cs[i], d.Reasons)
				}
				if limit := map[string]bool{"max_total": r.MaxTotal.set(), "room": r.MinFree.set()}; !limit[name] {
					t.Fatalf("%s without a limit takes %+v: %q", name, cs[i], d.Reasons)
				}
			}
		}
	})
}

// TestMaxTotalIsKept, unless nothing more may go.
func TestMaxTotalIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, r := run.Draw(t, "run"), limited.Draw(t, "retention")
		r.MaxTotal.Bytes = max(r.MaxTotal.Bytes, 1)
		v := Resolve(cs, Default())
		ds := Retain(cs, v, r, nowToday)
		total := int64(0)
		for _, d := range ds {
			if d.Action == ActionKeep {
				total += d.Size
			}
		}
		if total <= r.MaxTotal.Bytes {
			return
		}
		for _, i := range expendable(cs, judge(cs, v, r, nowToday), protections(cs, v)) {
			if d := byID(ds, cs[i].ID); d.Action != ActionDelete {
				t.Fatalf("the run takes %d bytes, more than %d, and %+v could go", total, r.MaxTotal.Bytes, cs[i])
			}
		}
	})
}
