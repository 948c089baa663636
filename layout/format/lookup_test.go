package format

import (
	"fmt"
	"strings"
	"testing"
)

// The places that trainers keep their progress in.
func TestScalarsGet(t *testing.T) {
	s := Scalars{
		"epoch": int64(3),
		"meta":  map[string]any{"iter": int64(500), "seed": nil},
		"a.b":   "a key with a dot",
		"a":     map[string]any{"b": "below a"},
		"callbacks": map[string]any{
			"EarlyStopping{'mode': 'min'}":                       map[string]any{"best_score": 0.5, "wait": int64(1)},
			"ModelCheckpoint{'monitor': 'val.loss', 'mode': []}": map[string]any{"best_model_score": 0.25, "best_model_path": "a.ckpt"},
			"ModelCheckpoint{'monitor': None}":                   map[string]any{"best_model_score": nil},
		},
		"optimizer_history": []any{
			map[string]any{"num_updates": int64(1)},
			map[string]any{"num_updates": int64(9000)},
		},
		"log_history": []any{
			map[string]any{"step": int64(1), "loss": 2.0},
			map[string]any{"step": int64(1), "eval_loss": 1.5, "eval_f1": 0.25},
			map[string]any{"step": int64(2), "eval_loss": 0.5, "eval_f1": 0.75},
			map[string]any{"step": int64(3), "loss": 1.0},
		},
		"long":   Tail{Dropped: 1000, Items: []any{int64(1000), int64(1001)}},
		"tensor": Opaque{},
		"nested": []any{[]any{int64(1), int64(2)}, []any{int64(3)}},
	}
	for _, c := range []struct {
		pattern string
		want    string // all that match, as path=value
	}{
		{"epoch", "epoch=3"},
		{"meta.iter", "meta.iter=500"},
		{"a.b", "a.b=a key with a dot"},
		{"callbacks.*.best_model_path", "callbacks.ModelCheckpoint{'monitor': 'val.loss', 'mode': []}.best_model_path=a.ckpt"},
		{"optimizer_history[-1].num_updates", "optimizer_history[1].num_updates=9000"},
		{"optimizer_history[0].num_updates", "optimizer_history[0].num_updates=1"},
		{"optimizer_history[2].num_updates", ""},
		{"optimizer_history[-3].num_updates", ""},
		{"log_history[].eval_*", "log_history[2].eval_f1=0.75 log_history[2].eval_loss=0.5 log_history[1].eval_f1=0.25 log_history[1].eval_loss=1.5"},
		{"log_history[*].eval_loss", "log_history[2].eval_loss=0.5 log_history[1].eval_loss=1.5"},
		{"log_history.*.eval_loss", "log_history[2].eval_loss=0.5 log_history[1].eval_loss=1.5"},
		{"log_history[].e*a*l_f*1", "log_history[2].eval_f1=0.75 log_history[1].eval_f1=0.25"},
		{"long[-1]", "long[1001]=1001"},
		{"long[1000]", "long[1000]=1000"},
		{"long[0]", ""}, // was not kept
		{"nested[0][1]", "nested[0][1]=2"},
		{"nested[][0]", "nested[1][0]=3 nested[0][0]=1"},
		{"nested.*[-1]", "nested[1][0]=3 nested[0][1]=2"},
		{"*.iter", "meta.iter=500"},
		{"nothing", ""},
		{"epoch.nothing", ""},
		{"epoch[0]", ""},
		{"meta[0]", ""},
		{"nested[x]", ""},
		{"nested[0", ""},
		{"", ""},
	} {
		var got []string
		for path, v := range s.All(c.pattern) {
			got = append(got, path+"="+text(v))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.pattern, got, c.want)
		}
	}
	// What says something goes before what says nothing.
	if v, ok := s.Get("callbacks.*.best_model_score"); v != 0.25 || !ok {
		t.Errorf("a nil before the score: %v", v)
	}
	for _, pattern := range []string{"tensor", "meta.seed"} {
		if v, ok := s.Get(pattern); !ok {
			t.Errorf("%s: %v is not there", pattern, v)
		}
	}
	if v, ok := s.Get("meta.nothing"); ok {
		t.Errorf("found %v", v)
	}
}

func TestScalarsAllCanBeLeft(t *testing.T) {
	s := Scalars{"a": map[string]any{"x": int64(1), "y": int64(2)}, "b": []any{int64(3), int64(4)}}
	for _, pattern := range []string{"a.*", "b[]", "*.*"} {
		n := 0
		for range s.All(pattern) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%s: %d", pattern, n)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "anything", true}, {"a*", "abc", true}, {"*c", "abc", true},
		{"a*c", "ac", true}, {"a*c", "abd", false}, {"ab*bc", "abc", false}, {"**", "x", true}, {"a*b*c", "a1b2c", true}, {"a*b*c", "acb", false},
	} {
		if got := glob(c.pattern, c.text); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.text, got)
		}
	}
	if glob("*"+strings.Repeat("a*", 500)+"b", strings.Repeat("a", 100_000)) {
		t.Error("a b was found")
	}
}

func text(v any) string {
	return fmt.Sprint(v)
}
