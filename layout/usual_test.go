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
