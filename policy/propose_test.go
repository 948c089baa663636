package policy

import (
	"testing"

	"pgregory.net/rapid"

	"ckptfs/layout"
)

func found(free int64, layoutName string, runs ...[]Checkpoint) Found {
	f := Found{Layouts: []string{layoutName}, Free: free}
	for _, cs := range runs {
		f.Runs = append(f.Runs, FoundRun{cs, Resolve(cs, Default())})
	}
	return f
}

func TestPropose(t *testing.T) {
	for _, test := range []struct {
		name string
		Found
	}{
		{"enstack", found(1e12, "enstack", enstackRun())},
		{"steps-on-a-small-disk", found(4e9, "transformers", stepsRun())},
		{"epochs", found(1e12, "mine", manyEpochs(4), endedRun())},
		{"first-epoch", found(1e12, "enstack", []Checkpoint{midEpoch(1, 4), midEpoch(1, 8).but(state(Invalid, "x"))})},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := Propose(test.Found)
			golden(t, string(text), "policy", "propose", test.name+".yaml")
			if _, err := Parse(test.name, text); err != nil {
				t.Error(err)
			}
		})
	}
	if text := Propose(found(1e12, "enstack", []Checkpoint{midEpoch(1, 4).but(state(Saving, ""))})); text != nil {
		t.Errorf("of no checkpoint: %s", text)
	}
}

// TestProposeParses: whatever lies there, what is proposed is a configuration, and
// deletes nothing that the rules of mid_epoch, epoch_end and best do not name.
func TestProposeParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := run.Draw(t, "run")
		text := Propose(found(rapid.Int64Range(0, 100).Draw(t, "free"), "some", cs))
		if text == nil {
			return
		}
		c, err := Parse("f", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, d := range Retain(cs, Resolve(cs, c), c.Retention, nowToday) {
			if d.Action != ActionDelete || d.State == History {
				continue
			}
			for _, c := range cs {
				if c.ID == d.ID && (c.Kind == layout.Last || c.Kind == layout.Final || c.Kind == layout.Backup) {
					t.Fatalf("deletes %+v\n%s", c, text)
				}
			}
		}
	})
}
