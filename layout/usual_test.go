package layout

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLacking(t *testing.T) {
	ranks := []string{"global_step10/rank_0.pt", "global_step10/rank_1.pt", "global_step10/rank_2.pt", "latest"}
	for _, c := range []struct {
		name         string
		now, earlier []string
		want         []string
	}{
		{"nothing is known", []string{"a"}, nil, nil},
		{"all is there, with other numbers", []string{"global_step20/rank_0.pt", "global_step20/rank_1.pt", "global_step20/rank_2.pt", "latest"}, ranks, nil},
		{"two ranks and a file are not", []string{"global_step20/rank_0.pt"}, ranks, []string{"2 of 3 files like global_step#/rank_#.pt", "latest"}},
		{"more is no lack", []string{"a", "b1", "b2"}, []string{"a", "b1"}, nil},
		{"nothing is there", nil, []string{"a", "b"}, []string{"a", "b"}},
	} {
		if d := cmp.Diff(c.want, Lacking(c.now, c.earlier)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	if n := Ranks(ranks); n != 3 {
		t.Errorf("%d ranks", n)
	}
}

func TestAlike(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"checkpoint-5", "checkpoint-500", true}, {"checkpoint-5", "checkpoint_5", false},
		{"epoch=1-step=20", "epoch=12-step=3", true}, {"last", "best", false}, {"last", "last", true},
	} {
		if Alike(c.a, c.b) != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, !c.want)
		}
	}
}

// Ranks of one save write files of one set, of another number of ranks they do not.
func TestSet(t *testing.T) {
	l, err := ByName(Builtin(), "verl")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", true},
		{"model-00001-of-00002.safetensors", "model-00002-of-00003.safetensors", false},
		{"actor/model_world_size_8_rank_0.pt", "actor/model_world_size_8_rank_7.pt", true},
		{"actor/model_world_size_8_rank_0.pt", "actor/model_world_size_4_rank_0.pt", false},
		{"actor/model_world_size_8_rank_0.pt", "critic/model_world_size_8_rank_0.pt", false},
		{"zero_pp_rank_0_mp_rank_00_optim_states.pt", "zero_pp_rank_3_mp_rank_01_optim_states.pt", true},
		{"__0_0.distcp", "__13_2.distcp", true}, {"__0_0.distcp", ".metadata", false},
		{"model.safetensors", "model.safetensors", true}, {"pytorch_model.bin", "model.safetensors", false},
	} {
		if got := l.Set(c.a) == l.Set(c.b); got != c.want {
			t.Errorf("%s (%s) and %s (%s): %v", c.a, l.Set(c.a), c.b, l.Set(c.b), got)
		}
	}
}

// A checkpoint lacks nothing against itself, nor against a part of itself.
func TestLackingAgainstItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := rapid.SliceOf(rapid.StringMatching(`[ab][0-9]{0,3}(/[ab][0-9]{0,2})?`)).Draw(t, "files")
		some := files[:rapid.IntRange(0, len(files)).Draw(t, "some")]
		if l := Lacking(files, some); l != nil {
			t.Fatalf("lacks %q", l)
		}
		if l := Lacking(some, files); len(some) < len(files) && l == nil {
			t.Fatal("lacks nothing with fewer files")
		}
	})
}
