package format

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every kind of value, as msgpack for Python writes it with Flax's extensions.
func TestMsgpackOfFlax(t *testing.T) {
	f := fixtureNamed(t, "flax_checkpoint.msgpack")
	want := Scalars{
		"step":   int64(1200), // an array without dimensions
		"params": map[string]any{"dense": map[string]any{"kernel": Opaque{}, "bias": Opaque{}}},
		"opt_state": map[string]any{
			"0": map[string]any{"count": int64(1200), "mu": map[string]any{"dense": map[string]any{"kernel": Opaque{}}}},
			"1": map[string]any{},
		},
		"epoch": int64(3), "best_loss": 0.25, "lr": 0.001, "name": "run é", "none": nil, "yes": true, "no": false,
		"neg": int64(-5), "big": int64(1) << 40, "minus": int64(-1) << 40, "huge": Opaque{}, "list": []any{int64(1), 2.5, "x"},
		"half": 0.5, "flag": true, "z": Opaque{}, "raw": Opaque{},
	}
	if d := cmp.Diff(want, check(f.name, f.data).Scalars); d != "" {
		t.Error(d)
	}
}

func TestMsgpackValues(t *testing.T) {
	array := func(dtype, data string) string {
		inner := "\x93\x90" + string(byteString(0xa0|len(dtype))) + dtype + "\xc4" + string(byteString(len(data))) + data
		return "\xc7" + string(byteString(len(inner))) + "\x01" + inner
	}
	for _, c := range []struct {
		name, data string
		want       any
	}{
		{"a fixed negative", "\xff", int64(-1)},
		{"uint8", "\xcc\xff", int64(255)},
		{"uint16", "\xcd\xff\xfe", int64(0xfffe)},
		{"uint32", "\xce\xff\xff\xff\xfe", int64(0xfffffffe)},
		{"uint64", "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", int64(1) << 32},
		{"a uint64 too large", "\xcf\x80\x00\x00\x00\x00\x00\x00\x00", Opaque{}},
		{"int8", "\xd0\x80", int64(-128)},
		{"int16", "\xd1\xff\x00", int64(-256)},
		{"int32", "\xd2\xff\xff\xff\xff", int64(-1)},
		{"int64", "\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", int64(-2)},
		{"float32", "\xca\x3f\x00\x00\x00", 0.5},
		{"float64", "\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", 0.5},
		{"str8", "\xd9\x02ab", "ab"},
		{"str16", "\xda\x00\x02ab", "ab"},
		{"str32", "\xdb\x00\x00\x00\x02ab", "ab"},
		{"bin8", "\xc4\x02ab", Opaque{}},
		{"bin16", "\xc5\x00\x02ab", Opaque{}},
		{"bin32", "\xc6\x00\x00\x00\x02ab", Opaque{}},
		{"ext8", "\xc7\x02\x07ab", Opaque{}},
		{"ext16", "\xc8\x00\x02\x07ab", Opaque{}},
		{"ext32", "\xc9\x00\x00\x00\x02\x07ab", Opaque{}},
		{"fixext1", "\xd4\x07a", Opaque{}},
		{"fixext16", "\xd8\x07aaaaaaaaaaaaaaaa", Opaque{}},
		{"array16", "\xdc\x00\x02\x01\x02", []any{int64(1), int64(2)}},
		{"array32", "\xdd\x00\x00\x00\x01\x01", []any{int64(1)}},
		{"map16", "\xde\x00\x01\x07\xc0", map[string]any{"7": nil}}, // a number as key
		{"map32", "\xdf\x00\x00\x00\x01\xa1a\x01", map[string]any{"a": int64(1)}},
		{"a map with a key of bytes", "\x81\xc4\x01a\x01", map[string]any{}},
		{"an array of a long", array("int64", "\xfe\xff\xff\xff\xff\xff\xff\xff"), int64(-2)},
		{"of a bfloat16", array("bfloat16", "\x40\x40"), 3.0},
		{"of a float16", array("float16", "\x00\x38"), 0.5},
		{"of a complex", array("complex64", "aaaabbbb"), Opaque{}},
		{"of too few bytes", array("int64", "\xfe"), Opaque{}},
		{"of nothing that makes sense", "\xc7\x04\x01\x93\x90\xbfa", Opaque{}},
		{"a text too long to keep", "\xda\xff\xff" + strings.Repeat("x", 0xffff), Opaque{}},
		{"a list too long to keep", "\xdc\x04\x01" + strings.Repeat("\x01", maxItems+1), Opaque{}},
	} {
		res := check("a.msgpack", []byte("\x82\xa1v"+c.data+"\xa4next\xc3"))
		if d := cmp.Diff(c.want, res.Scalars["v"]); d != "" || res.Scalars["next"] != true || !res.Proven {
			t.Errorf("%s: %s in %+v", c.name, d, res)
		}
	}
}

func TestMsgpackRefuses(t *testing.T) {
	for _, c := range []struct{ name, data, problem string }{
		{"a byte that is never used", "\x81\xa1a\xc1", "damaged: bad msgpack (a byte that is never used)"},
		{"a text beyond the end", "\x81\xa1a\xd9\x05ab", "cut short: 5 bytes expected at offset 5, 2 are left"},
		{"bytes beyond the end", "\x81\xa1a\xc6\xff\xff\xff\xffab", "cut short: 4294967295 bytes expected at offset 8, 2 are left"},
		{"an array beyond the end", "\x81\xa1a\xdd\xff\xff\xff\xff\x01", "cut short: 4294967295 bytes expected at offset 8, 1 are left"},
		{"a map beyond the end", "\xdf\xff\xff\xff\xff\x01", "cut short: 8589934590 bytes expected at offset 5, 1 are left"},
		{"a value missing", "\x81\xa1a", "cut short: 1 bytes expected at offset 3, 0 are left"},
	} {
		if res := check("a.msgpack", []byte(c.data)); res.Problem != c.problem {
			t.Errorf("%s: %+v, want %q", c.name, res, c.problem)
		}
	}
	// What follows may be the next of several.
	if res := check("a.msgpack", []byte("\x80\x80")); res.Problem != "" || res.Proven {
		t.Errorf("two maps: %+v", res)
	}
}

// However large the parameters are, what is beside them at the top is told.
func TestMsgpackKeepsTheTop(t *testing.T) {
	names := strings.Repeat("\xd9\xff"+strings.Repeat("n", 255)+"\x01", maxText/255+1)
	params := "\xde\x04\x01" + strings.Repeat("\xa1a\xdc\x04\x00"+strings.Repeat("\x01", maxItems), maxItems+1)
	res := check("a.msgpack", []byte("\x83\xa1p"+params+"\xa1n"+"\xdf\x00\x00\x10\x11"+names+"\xa4step\xcd\x04\xb0"))
	if res.Scalars["step"] != int64(1200) || !res.Proven {
		t.Errorf("%v", res.Scalars["step"])
	}
	if n := nodes(map[string]any(res.Scalars)); n > maxScalars+2 {
		t.Errorf("%d values are kept", n)
	}
}
