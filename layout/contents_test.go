package layout

import (
	"io/fs"
	"slices"
	"testing"

	"ckptfs/layout/format"
	"ckptfs/testdata/runs"
)

func TestContents(t *testing.T) {
	fsys, err := fs.Sub(runs.FS, "enstack/last_checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ByName(Builtin(), "enstack")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := l.Match("last_checkpoint", true)
	report, err := l.Inspect(fsys, m)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := Contents(fsys, report.Files)
	if err != nil || len(contents) != 3 {
		t.Fatalf("%v, %v", contents, err)
	}
	for i, want := range []struct {
		path    string
		tensors int
		states  []string
	}{
		{"config.json", -1, nil},
		{"pytorch_model.bin", 3, nil},
		{"training_state.pth", 9, []string{Optimizer, Scheduler}},
	} {
		got, tensors := contents[i], -1
		if got.Tensors != nil {
			tensors = got.Tensors.Count
		}
		if got.Path != want.path || tensors != want.tensors || !slices.Equal(got.States, want.states) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestHoldsState(t *testing.T) {
	state := map[string]any{"state": format.Opaque{}}
	for _, test := range []struct {
		file string
		top  format.Scalars
		want []string
	}{
		{"optimizer.pt", nil, []string{Optimizer}},
		{"scheduler.pt", nil, []string{Scheduler}},
		{"rng_state_0.pth", nil, []string{Random}},
		{"zero_pp_rank_0_mp_rank_00_optim_states.pt", nil, []string{Optimizer}},
		{"scheduler_config.json", nil, nil},
		{"last.ckpt", format.Scalars{"optimizer_states": []any{state}, "lr_schedulers": []any{}, "state_dict": state}, []string{Optimizer}},
		{"a.pth", format.Scalars{"scaler_state_dict": nil, "scheduler_state_dict": map[string]any{}, "optimizer_state_dict": state}, []string{Optimizer}},
		{"a.pth", format.Scalars{"optimizer": "adamw", "amp_scaling_state": state, "rng_states": format.Opaque{}}, []string{Scaler, Random}},
		{"model.pt", format.Scalars{"args": map[string]any{"optimizer": state}}, nil},
	} {
		var got []string
		for _, s := range States {
			if holdsState(test.file, test.top, s) {
				got = append(got, s)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %v: %v, want %v", test.file, test.top, got, test.want)
		}
	}
}
