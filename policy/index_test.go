package policy

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// leads is where an index says that the views lead, by the ids of the checkpoints.
func (x *Index) leads() map[string]string {
	out := map[string]string{}
	say := func(view string, slot int) {
		if slot >= 0 {
			out[view] = x.At(slot).ID
		}
	}
	say("latest", x.Latest())
	say("resume", x.Resume())
	say("best", x.Best())
	for _, n := range x.Epochs() {
		say(fmt.Sprint("by-epoch ", n), x.Epoch(n))
	}
	for _, n := range x.Steps() {
		say(fmt.Sprint("by-step ", n), x.Step(n))
	}
	return out
}

// leadTo is the same of what was resolved at once.
func (v Views) leadTo(cs []Checkpoint) map[string]string {
	out := map[string]string{}
	say := func(view string, i int) {
		if i >= 0 {
			out[view] = cs[i].ID
		}
	}
	say("latest", v.Latest.Target)
	say("resume", v.Resume.Target)
	say("best", v.Best.Target)
	for n, i := range v.ByEpoch {
		say(fmt.Sprint("by-epoch ", n), i)
	}
	for n, i := range v.ByStep {
		say(fmt.Sprint("by-step ", n), i)
	}
	return out
}

// TestIndexFollowsChanges: whatever comes and goes, the views lead where they
// would if all that is left were resolved anew.
func TestIndexFollowsChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := resolution.Draw(t, "config")
		if rapid.Bool().Draw(t, "usual") {
			config.Best.Usual = &BestPolicy{Metric: "f1", Mode: ModeMin}
		}
		x := NewIndex(nil, config)
		there := map[int]Checkpoint{}
		for i, c := range rapid.SliceOfN(run, 1, 4).Draw(t, "runs") {
			for k := range c {
				c[k].ID = fmt.Sprintf("%d-%d", i, k)
				c[k].BestName = rapid.SampledFrom([]string{"", "", "a", "e"}).Draw(t, "best name")
				there[x.Add(c[k])] = c[k]
			}
			for slot := range there {
				if rapid.Bool().Draw(t, "goes") {
					x.Remove(slot)
					delete(there, slot)
				}
			}
			var left []Checkpoint
			for _, c := range there {
				left = append(left, c)
			}
			want, got := Resolve(left, config).leadTo(left), x.leads()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("of %+v\n  the index says %v\n  anew they lead to %v", left, got, want)
			}
		}
	})
}

// TestIndexCost: what a commit costs does not grow with the run.
func TestIndexCost(t *testing.T) {
	compared := func(n int) int {
		x := NewIndex(many(n), Default())
		before := x.compared
		c := midEpoch(int64(n), 1)
		slot := x.Add(c)
		if x.Latest() != slot {
			t.Errorf("the newest of %d is not latest/", n)
		}
		x.Remove(slot)
		return x.compared - before
	}
	few, all := compared(10), compared(10_000)
	if all > 4*few+100 {
		t.Errorf("a commit compares %d candidates of 10,000, and %d of 10", all, few)
	}
}
