package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"ckptfs/layout"
)

// report writes decisions as `ckptfs prune --dry-run` does, for golden files.
func report(r Retention, ds []Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r)
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range ds {
		id := d.ID
		if id == "" {
			id = d.Name
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", d.Action, id, strings.Join(d.Reasons, "; "))
	}
	table.Flush()
	fmt.Fprintf(&b, "\n%s to reclaim\n", humanize.Bytes(uint64(Reclaimable(ds))))
	if err := Refusal(ds); err != nil {
		fmt.Fprintf(&b, "refused: %v\n", err)
	}
	return b.String()
}

// longRun has five epochs with saves at steps 4 and 8, an end of each epoch,
// two best checkpoints, and is in the middle of the sixth.
func longRun() []Checkpoint {
	cs := []Checkpoint{
		last(5).but(later), saved("best-epoch2", layout.Best, 2, 0), saved("best-epoch4", layout.Best, 4, 0), midEpoch(6, 4),
	}
	for epoch := int64(1); epoch <= 5; epoch++ {
		cs = append(cs, midEpoch(epoch, 4), midEpoch(epoch, 8),
			saved(fmt.Sprintf("epoch_%d", epoch), layout.EpochEnd, epoch, 0))
	}
	return cs
}

// stepsRun is that of a trainer that only saves by step, and whose metadata tells
// a loss: the best are neither the newest nor the oldest.
func stepsRun() (cs []Checkpoint) {
	for i, loss := range []float64{0.9, 0.5, 0.4, 0.7, 0.6, 0.8} {
		step := int64(i+1) * 500
		cs = append(cs, saved(fmt.Sprintf("checkpoint-%d", step), layout.Step, 1, step).but(func(c *Checkpoint) {
			c.Progress = layout.Progress{GlobalStep: &step}
			c.Metrics = map[string]float64{"eval_loss": loss}
		}))
	}
	return cs
}

// endedRun is the run of the guide whose third epoch has ended: nothing needs its
// recovery checkpoint any more.
func endedRun() []Checkpoint {
	return append(enstackRun()[:6], last(3), recovery(3, 8).but(later))
}

// damagedRun has checkpoints that a check found damaged.
func damagedRun() []Checkpoint {
	damaged := state(Invalid, "pytorch_model.bin: hash differs")
	return []Checkpoint{
		midEpoch(1, 4), midEpoch(1, 8), midEpoch(2, 4), midEpoch(2, 8).but(damaged), midEpoch(3, 4).but(damaged),
		last(2).but(damaged), last(1).but(state(History, "")),
	}
}

func TestRetain(t *testing.T) {
	runs := map[string][]Checkpoint{
		"enstack": enstackRun(), "messy": messyRun(), "long": longRun(), "steps": stepsRun(), "ended": endedRun(), "damaged": damagedRun(),
	}
	config := Default()
	config.Best.Usual = &BestPolicy{Metric: "eval_loss", Mode: ModeMin} // as the layout of these trainers says
	for _, test := range []struct {
		run, name string
		policy    Retention
	}{
		{"enstack", "unset", Retention{}},
		{"enstack", "default", Default().Retention},
		{"enstack", "prune-keep-last-0", KeepLast(0)},
		{"enstack", "prune-keep-last-1", KeepLast(1)},
		{"enstack", "prune-keep-last-9", KeepLast(9)},
		{"enstack", "epoch-end-keep-last-0", Retention{MidEpoch: Rule{KeepLast: new(0), When: WhenEpochEnd}}},
		{"enstack", "epoch-end-keep-last-1", Retention{MidEpoch: Rule{KeepLast: new(1)}}},
		{"messy", "default", Default().Retention},
		{"messy", "everything-goes", Retention{
			MidEpoch: Rule{KeepLast: new(0), When: WhenAlways},
			EpochEnd: Rule{KeepLast: new(0)},
			Best:     Rule{KeepLast: new(0)},
			History:  Rule{KeepLast: new(0)},
		}},
		{"messy", "history-keep-last-1", Retention{History: Rule{KeepLast: new(1)}}},
		{"long", "milestones", Retention{MidEpoch: Rule{KeepLast: new(2), KeepEverySteps: 25}}},
		{"long", "max-age", Retention{MidEpoch: Rule{MaxAge: 30 * time.Minute, When: WhenAlways}}},
		{"long", "max-age-takes-milestones", Retention{
			MidEpoch: Rule{KeepLast: new(1), KeepEverySteps: 10, MaxAge: 30 * time.Minute}}},
		{"long", "epochs", Retention{EpochEnd: Rule{KeepLast: new(2), KeepEvery: 3}}},
		{"long", "best", Retention{Best: Rule{KeepLast: new(1)}}},
		{"long", "all-rules", Retention{
			MidEpoch: Rule{KeepLast: new(1), When: WhenAlways},
			EpochEnd: Rule{KeepLast: new(1), KeepEvery: 2},
			Best:     Rule{KeepLast: new(2)},
			History:  Rule{KeepLast: new(1)},
		}},
		{"messy", "max-total-too-small", Retention{MaxTotal: Share{Bytes: 1}}},
		{"long", "max-total", Retention{MaxTotal: Share{Bytes: 5e9}}},
		{"long", "max-total-after-the-rules", Retention{MidEpoch: Rule{KeepLast: new(8), When: WhenAlways}, MaxTotal: Share{Bytes: 5e9}}},
		{"steps", "mid-epoch-rules-hold", Retention{MidEpoch: Rule{KeepLast: new(2), When: WhenEpochEnd}}},
		{"steps", "rules-of-their-own", Retention{MidEpoch: Rule{KeepLast: new(0)}, Step: Rule{KeepLast: new(1), KeepEverySteps: 1000}}},
		{"steps", "best-by-metric", Retention{MidEpoch: Rule{KeepLast: new(1)}, Best: Rule{KeepLast: new(2)}}},
		{"steps", "prune-keep-last-0", KeepLast(0)},
		{"ended", "epoch-end-keep-last-0", Retention{MidEpoch: Rule{KeepLast: new(0), When: WhenEpochEnd}}},
		{"ended", "always-keep-last-1", Retention{MidEpoch: Rule{KeepLast: new(1), When: WhenAlways}}},
		{"ended", "max-age", Retention{MidEpoch: Rule{MaxAge: 31 * time.Minute}}},
		{"ended", "prune-keep-last-1", KeepLast(1)},
		{"ended", "max-total-of-the-disk", Retention{MaxTotal: Share{Percent: 10}}.On(30e9)},
		{"ended", "max-total-of-no-disk", Retention{MaxTotal: Share{Percent: 10}}},
		{"damaged", "keep-last-1", Retention{MidEpoch: Rule{KeepLast: new(1), When: WhenAlways}, History: Rule{KeepLast: new(0)}}},
		{"damaged", "max-total", Retention{MaxTotal: Share{Bytes: 1}}},
		{"messy", "history-budget", Retention{HistoryTotal: Share{Bytes: 600e6}}},
		{"messy", "history-max-age", Retention{History: Rule{MaxAge: 55 * time.Minute}}},
		{"long", "epoch-ends-max-age", Retention{EpochEnd: Rule{KeepEvery: 2, MaxAge: 25 * time.Minute}}},
	} {
		t.Run(test.run+"/"+test.name, func(t *testing.T) {
			cs := runs[test.run]
			ds := Retain(cs, Resolve(cs, config), test.policy, start.Add(time.Hour))
			golden(t, report(test.policy, ds), "policy", "retain", test.run, test.name+".txt")
		})
	}
}

// TestRetainNewestValidInHistory: where everything committed was damaged from
// outside, an earlier version is all that is left to restore.
func TestRetainNewestValidInHistory(t *testing.T) {
	cs := []Checkpoint{
		last(2).but(state(Invalid, "changed outside")),
		last(1).but(state(History, "")),
		best(1).but(state(History, "")).but(func(c *Checkpoint) { c.CommittedAt = start }),
	}
	for _, d := range Retain(cs, Resolve(cs, Default()), Retention{History: Rule{KeepLast: new(0)}}, start) {
		want := map[string]Action{"last_checkpoint@20": ActionSkip, "last_checkpoint@10": ActionKeep, "best_model@10": ActionDelete}[d.ID]
		if d.Action != want {
			t.Errorf("%s: %s (%q), want %s", d.ID, d.Action, d.Reasons, want)
		}
	}
}

// TestEpochHasNotEnded: a best checkpoint at the end of an epoch does not end
// it, for it may hold weights alone.
func TestEpochHasNotEnded(t *testing.T) {
	rule := Retention{MidEpoch: Rule{KeepLast: new(0), When: WhenEpochEnd}}
	for _, test := range []struct {
		name string
		end  Checkpoint
		want Action
	}{
		{"last", last(2), ActionDelete},
		{"a later epoch's end", last(3), ActionDelete},
		{"an earlier epoch's end", last(1), ActionKeep},
		{"best", best(2), ActionKeep},
		{"backup", saved(".backup_last_checkpoint", layout.Backup, 2, 0), ActionKeep},
		{"not committed", last(2).but(state(Incomplete, "x")), ActionKeep},
		{"overwritten", last(2).but(state(History, "")), ActionKeep},
	} {
		t.Run(test.name, func(t *testing.T) {
			cs := []Checkpoint{midEpoch(2, 4), midEpoch(4, 4), test.end}
			ds := Retain(cs, Resolve(cs, Default()), rule, start)
			for _, d := range ds {
				if d.Name == "checkpoint_epoch2_step4" && d.Action != test.want {
					t.Errorf("%s (%q), want %s", d.Action, d.Reasons, test.want)
				}
			}
		})
	}
}

func TestMaxAge(t *testing.T) {
	rule := Retention{MidEpoch: Rule{MaxAge: time.Hour, When: WhenAlways}}
	for _, test := range []struct {
		name      string
		committed time.Time
		want      Action
	}{
		{"younger", nowToday.Add(-59 * time.Minute), ActionKeep},
		{"exactly", nowToday.Add(-time.Hour), ActionKeep},
		{"older", nowToday.Add(-time.Hour - 1), ActionDelete},
		{"the clock was set back", nowToday.Add(time.Hour), ActionKeep},
		{"unknown", time.Time{}, ActionKeep},
	} {
		t.Run(test.name, func(t *testing.T) {
			cs := []Checkpoint{midEpoch(1, 4).but(func(c *Checkpoint) { c.CommittedAt = test.committed }), last(1)}
			if d := Retain(cs, Resolve(cs, Default()), rule, nowToday)[0]; d.Action != test.want {
				t.Errorf("%s (%q), want %s", d.Action, d.Reasons, test.want)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	tests := []struct {
		name   string
		ds     []Decision
		refuse bool
	}{
		{"nothing to do", nil, false},
		{"nothing deleted", []Decision{{Action: ActionKeep}}, false},
		{"one is left", []Decision{{State: Committed, Action: ActionDelete}, {State: Committed, Action: ActionKeep}}, false},
		{"none is left", []Decision{{State: Committed, Action: ActionDelete}}, true},
		{"what is incomplete does not count", []Decision{
			{State: Committed, Action: ActionDelete}, {State: Incomplete, Action: ActionSkip}}, true},
		{"an earlier version does not count", []Decision{
			{State: Committed, Action: ActionDelete}, {State: History, Action: ActionKeep}}, true},
		{"only earlier versions go", []Decision{{State: History, Action: ActionDelete}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := Refusal(test.ds); errors.Is(err, ErrWouldEmpty) != test.refuse || (err != nil) != test.refuse {
				t.Errorf("Refusal = %v, want one: %t", err, test.refuse)
			}
		})
	}
}
