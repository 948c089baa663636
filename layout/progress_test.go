package layout

import (
	stdcmp "cmp"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ckptfs/layout/format"
)

func TestGlobalStep(t *testing.T) {
	for _, c := range []struct {
		epoch, step, batches *int64
		want                 *int64
	}{
		{at(3), at(4), at(10), at(24)},
		{at(2), at(0), at(10), at(20)}, // the end of epoch 2
		{at(1), at(1), at(1), at(1)},
		{at(3), at(4), nil, nil},
		{at(3), nil, at(10), nil},
		{nil, at(4), at(10), nil},
		{at(0), at(4), at(10), nil}, // epochs are counted from 1
		{at(3), at(4), at(0), nil},
		{at(math.MaxInt64), at(4), at(10), nil}, // beyond what fits
		{at(2), at(math.MaxInt64), at(10), nil},
	} {
		got := globalStep(Progress{Epoch: c.epoch, Step: c.step, BatchesPerEpoch: c.batches})
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
}

func TestMetadataTakesOnlyCounts(t *testing.T) {
	md := metadata{sources: []source{{
		file: "state", epoch: "epoch", step: "step", epochFrom: 1, stepFrom: 1,
		metricKeys: []string{"f1", "acc", "loss", "note", "log[-1].eval_*"},
	}}}
	progress := func(s format.Scalars) Progress { return md.progress(Match{}, []format.Scalars{s}) }
	p := progress(format.Scalars{"epoch": 2.5, "step": int64(-1)})
	if p.Known() || p.Step != nil {
		t.Errorf("%+v", p)
	}
	if p = progress(format.Scalars{"epoch": 2.0}); *p.Epoch != 2 {
		t.Errorf("%+v", p)
	}
	got := md.metrics(Match{}, []format.Scalars{{
		"f1": 0.5, "acc": math.NaN(), "loss": math.Inf(1), "note": "good", "other": 1.0,
		"log": []any{map[string]any{"eval_f1": 0.1}, map[string]any{"eval_loss": 2.0, "step": int64(7)}},
	}})
	if d := cmp.Diff(map[string]float64{"f1": 0.5, "eval_loss": 2}, got); d != "" {
		t.Error(d)
	}
}

// What each trainer's counts mean, in the words of the field: epochs from 1,
// step 0 for the end of one.
func TestProgressOfTrainers(t *testing.T) {
	for _, c := range []struct {
		name    string
		src     source
		scalars format.Scalars
		want    Progress
	}{
		{"epochs that are done", source{epochsDone: "n"}, format.Scalars{"n": int64(3)}, Progress{Epoch: at(3), Step: at(0)}},
		{"two and a half of them", source{epochsDone: "n"}, format.Scalars{"n": 2.5}, Progress{Epoch: at(3)}},
		{"none of them", source{epochsDone: "n"}, format.Scalars{"n": 0.0}, Progress{}},
		{"the last that is done, from 0", source{epochsDone: "n", epochFrom: -1}, format.Scalars{"n": int64(0)}, Progress{Epoch: at(1), Step: at(0)}},
		{"the epoch that is under way, from 0", source{epoch: "e", epochFrom: -1}, format.Scalars{"e": int64(0)}, Progress{Epoch: at(1)}},
		{"the start of an epoch", source{epoch: "e", step: "s", zeroIsBefore: true}, format.Scalars{"e": int64(3), "s": int64(0)}, Progress{Epoch: at(2), Step: at(0)}},
		{"the start of the first", source{epoch: "e", step: "s", zeroIsBefore: true}, format.Scalars{"e": int64(1), "s": int64(0)}, Progress{}},
		{"in the middle of it", source{epoch: "e", step: "s", zeroIsBefore: true}, format.Scalars{"e": int64(3), "s": int64(5)}, Progress{Epoch: at(3), Step: at(5)}},
		{"iterations from 0", source{globalStep: "i", stepFrom: -1}, format.Scalars{"i": int64(4999)}, Progress{GlobalStep: at(5000)}},
	} {
		c.src.epochFrom, c.src.stepFrom = 1+min(c.src.epochFrom, 0), 1+min(c.src.stepFrom, 0) // -1 stands for "from 0"
		got := metadata{sources: []source{c.src}}.progress(Match{}, []format.Scalars{c.scalars})
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// From the least to the most advanced.
func TestCompareOrdersByProgress(t *testing.T) {
	order := []Progress{
		{},
		{Epoch: at(1)},
		{Epoch: at(1), Step: at(4)},
		{Epoch: at(1), Step: at(8)},
		{Epoch: at(1), Step: at(0)},
		{Epoch: at(2), Step: at(1)},
	}
	for i, p := range order {
		for j, q := range order {
			if got := p.Compare(q); got != stdcmp.Compare(i, j) {
				t.Errorf("%v against %v: %d", p, q, got)
			}
		}
	}
}

func TestProgressString(t *testing.T) {
	for want, p := range map[string]Progress{
		"unknown progress": {},
		"epoch 3":          {Epoch: at(3)},
		"epoch 3 step 4":   {Epoch: at(3), Step: at(4), GlobalStep: at(24)},
		"end of epoch 3":   {Epoch: at(3), Step: at(0)},
		"step 24":          {GlobalStep: at(24)},

		"step 24, in epoch 3": {Epoch: at(3), GlobalStep: at(24)},
	} {
		if got := p.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Whatever epochs and steps there are, global steps order them alike.
func TestGlobalStepOrdersAsEpochAndStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := rapid.Int64Range(1, 1000).Draw(t, "batches")
		draw := func(label string) Progress {
			p := Progress{
				Epoch:           at(rapid.Int64Range(1, 50).Draw(t, label+" epoch")),
				Step:            at(rapid.Int64Range(0, batches-1).Draw(t, label+" step")),
				BatchesPerEpoch: &batches,
			}
			return p
		}
		ps := []Progress{draw("p"), draw("q")}
		byEpoch := ps[0].Compare(ps[1])
		for i := range ps {
			ps[i].GlobalStep = globalStep(ps[i])
		}
		if slices.ContainsFunc(ps, func(p Progress) bool { return p.GlobalStep == nil }) || ps[0].Compare(ps[1]) != byEpoch {
			t.Fatalf("%v, %v: %d", ps[0], ps[1], byEpoch)
		}
	})
}
