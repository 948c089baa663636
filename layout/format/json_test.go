package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		want any
	}{
		{`{}`, map[string]any{}},
		{` [1, -2, 1.5, 1e2, true, false, null, ""] `, []any{int64(1), int64(-2), 1.5, 100.0, true, false, nil, ""}},
		{`{"loss": NaN, "best": Infinity, "worst": -Infinity}`, // as Python writes them
			map[string]any{"loss": math.NaN(), "best": math.Inf(1), "worst": math.Inf(-1)}},
		{`"a\u00e9\n\"é"`, "aé\n\"é"},
		{`9223372036854775808`, 9223372036854775808.0}, // one more than fits
		{`{"a": {"b": [{"c": 3}]}}`, map[string]any{"a": map[string]any{"b": []any{map[string]any{"c": int64(3)}}}}},
	} {
		got, err := parseJSON([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		}
		if d := cmp.Diff(c.want, got, cmpopts.EquateNaNs()); d != "" {
			t.Errorf("%s: %s", c.text, d)
		}
	}
}

func TestParseJSONRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "cut short: the JSON text does not end"},
		{`{"a": `, "cut short: the JSON text does not end"},
		{`{"a"; 1}`, "damaged: bad JSON at byte 4 (a colon is missing)"},
		{`{"a": 1,}`, "damaged: bad JSON at byte 8 (a name is missing)"},
		{`[1 2]`, "damaged: bad JSON at byte 3 (a comma or bracket is missing)"},
		{`[1] [2]`, "damaged: bad JSON at byte 4 (something follows its end)"},
		{"{\"a\": 1}\x00\x00", "damaged: bad JSON at byte 8 (something follows its end)"},
		{"\x00\x00", "damaged: bad JSON at byte 0 (a value is missing)"},
		{`[01]`, "damaged: bad JSON at byte 2 (a comma or bracket is missing)"},
		{`[1.]`, "damaged: bad JSON at byte 3 (a number does not end)"},
		{`["\x"]`, "damaged: bad JSON at byte 3 (a string holds a bad escape)"},
		{"[\"\n\"]", "damaged: bad JSON at byte 2 (a string holds a control character)"},
	} {
		_, err := parseJSON([]byte(c.text))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

// Python's three extra numbers apart, the parser accepts what encoding/json
// accepts, and gives the same values.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{`{"a": [1, 2.5e3, "\u00e9\ud83d\ude00", null, true], "b": {}}`, `-0`, `[NaN]`, `"\ud800"`, `[[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseJSON(data)
		if errors.Is(err, errLimit) || bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Infinity")) {
			return
		}
		if valid := json.Valid(data); valid != (err == nil) {
			t.Fatalf("valid is %v, the parser says %v", valid, err)
		}
		if err != nil || got == nil {
			return
		}
		again, err := json.Marshal(got)
		if err != nil {
			return // a number that is out of range
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			return
		}
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(again, &a) != nil || json.Unmarshal(plain, &b) != nil || !cmp.Equal(a, b) {
			t.Fatalf("%s is read as %s", plain, again)
		}
	})
}

// A trainer's history grows without end, and what it says of its progress comes
// after it or before.
func TestJSONKeepsTheEndOfAHistory(t *testing.T) {
	const entries = 100_000
	var b bytes.Buffer
	b.WriteString(`{"epoch": 2.5, "log_history": [`)
	for i := range entries {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"epoch": 1.0, "grad_norm": 1.5, "learning_rate": 1e-05, "loss": 0.5, "step": %d}`, i)
	}
	b.WriteString(`, {"eval_loss": 0.25, "step": 100000}], "global_step": 100000}`)
	res := check("trainer_state.json", b.Bytes())
	if !res.Proven {
		t.Fatalf("%+v", res)
	}
	for _, c := range []struct {
		path string
		want any
	}{
		{"global_step", int64(100000)}, {"epoch", 2.5}, {"log_history[].eval_*", 0.25}, {"log_history[-1].step", int64(100000)},
		{"log_history[99999].step", int64(99999)}, {"log_history[0].step", nil},
	} {
		if got := get(res.Scalars, c.path); got != c.want {
			t.Errorf("%s: %v, want %v", c.path, got, c.want)
		}
	}
	if n := nodes(map[string]any(res.Scalars)); n > 10*maxItems {
		t.Errorf("%d values are kept", n)
	}
}

// A list at the top, one below it, and one below that.
func TestJSONListsAroundTheLimit(t *testing.T) {
	for _, n := range []int{0, 1, maxItems - 1, maxItems, maxItems + 1, 3*maxItems + 7} {
		list := "[" + strings.TrimSuffix(strings.Repeat("7,", max(0, n-1))+"8,", ",") + "]"
		if n == 0 {
			list = "[ ]"
		}
		v, err := parseJSON([]byte(`{"a": ` + list + `, "b": {"c": ` + list + `}, "d": 1}`))
		if err != nil {
			t.Fatal(err)
		}
		s := Scalars(v.(map[string]any))
		if n > 0 && (get(s, "a[-1]") != int64(8) || get(s, fmt.Sprintf("a[%d]", n-1)) != int64(8) || get(s, "b.c[-1]") != int64(8)) {
			t.Errorf("%d: %v", n, s)
		}
		_, cut := s["a"].(Tail)
		if cut != (n > maxItems) || get(s, "d") != int64(1) {
			t.Errorf("%d: a is a %T", n, s["a"])
		}
	}
}
