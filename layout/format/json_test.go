package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
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
