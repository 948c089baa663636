package policy

import (
	"math"
	"strings"
	"testing"

	"ckptfs/layout"
)

func TestBest(t *testing.T) {
	f1 := func(f float64) func(*Checkpoint) {
		return func(c *Checkpoint) { c.Metrics = map[string]float64{"best_val_f1": f} }
	}
	highest := BestPolicy{Metric: "best_val_f1", Mode: ModeMax}
	lowest := BestPolicy{Metric: "best_val_f1", Mode: ModeMin}
	tests := []struct {
		name   string
		policy BestPolicy
		cs     []Checkpoint
		want   string
	}{
		{"the trainer's own, though another one is later", BestPolicy{}, []Checkpoint{best(1), last(2)}, "best_model"},
		{"the most advanced of the trainer's own", BestPolicy{}, []Checkpoint{
			saved("best-1", layout.Best, 1, 0), saved("best-2", layout.Best, 2, 0)}, "best-2"},
		{"none of the trainer's own is committed", BestPolicy{}, []Checkpoint{
			best(1).but(state(Invalid, "x")), last(2)}, ""},
		{"highest", highest, []Checkpoint{midEpoch(1, 4).but(f1(0.7)), midEpoch(1, 8).but(f1(0.6))}, "checkpoint_epoch1_step4"},
		{"lowest", lowest, []Checkpoint{midEpoch(1, 4).but(f1(0.7)), midEpoch(1, 8).but(f1(0.6))}, "checkpoint_epoch1_step8"},
		{"the metric decides over the trainer's own", highest, []Checkpoint{best(1).but(f1(0.6)), last(2).but(f1(0.7))}, "last_checkpoint"},
		{"NaN never", highest, []Checkpoint{last(2).but(f1(math.NaN())), last(1).but(f1(-1))}, "last_checkpoint"},
		{"NaN never, lowest", lowest, []Checkpoint{best(2).but(f1(math.NaN())), last(1).but(f1(1))}, "last_checkpoint"},
		{"nothing but NaN", highest, []Checkpoint{best(2).but(f1(math.NaN()))}, ""},
		{"only committed ones", highest, []Checkpoint{
			midEpoch(1, 4).but(f1(0.5)),
			midEpoch(1, 6).but(f1(0.9)).but(state(Incomplete, "x")), last(1).but(f1(0.8)).but(state(History, ""))}, "checkpoint_epoch1_step4"},
		{"best so far is in every later one: the trainer's own wins the tie", highest, []Checkpoint{
			midEpoch(3, 4).but(f1(0.8)), best(2).but(f1(0.8)), last(2).but(f1(0.8))}, "best_model"},
		{"a tie goes to more progress", highest, []Checkpoint{
			midEpoch(1, 4).but(f1(0.8)), midEpoch(1, 8).but(f1(0.8))}, "checkpoint_epoch1_step8"},
		{"a tie in progress goes to the first name", highest, []Checkpoint{
			recovery(1, 4).but(f1(0.8)), midEpoch(1, 4).but(f1(0.8))}, "checkpoint_epoch1_step4"},
		{"another metric", BestPolicy{Metric: "loss", Mode: ModeMin}, []Checkpoint{best(1).but(f1(0.8))}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Default()
			c.Best = test.policy
			if got := target(test.cs, Resolve(test.cs, c).Best.Target); got != test.want {
				t.Errorf("best/ = %q, want %q", got, test.want)
			}
		})
	}

	c := Default()
	c.Best.Metric = "best_val_fi"
	if reason := Resolve([]Checkpoint{best(1).but(f1(0.8))}, c).Best.Reason; !strings.Contains(reason, "there are best_val_f1") {
		t.Errorf("a misspelt metric is answered with %q, which does not name those there are", reason)
	}
}
