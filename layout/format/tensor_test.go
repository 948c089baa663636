package format

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Counters and scores that are tensors are read; what belongs to a parameter,
// or is a view into weights, is not.
func TestScalarTensors(t *testing.T) {
	f := fixtureNamed(t, "scalar_tensors.ckpt")
	s := check(f.name, f.data).Scalars
	for _, c := range []struct {
		path string
		want any
	}{
		{"epoch", int64(4)},
		{"callbacks.*.best_model_score", 0.25},
		{"callbacks.*.best_score", 0.5},
		{"each.float64", -1.5},
		{"each.float16", -0.0999145507812},
		{"each.bfloat16", 3.0},
		{"each.int32", int64(-7)},
		{"each.int16", int64(-300)},
		{"each.int8", int64(-5)},
		{"each.uint8", int64(250)},
		{"each.bool", true},
		{"each.complex", Opaque{}},
		{"views.of_few", int64(2)},
		{"views.of_weights", Opaque{}},
		{"message_hub.runtime_info.best_score", 0.75},
		{"optimizer_states[0].state.0.step", Opaque{}},
		{"state_dict.bn.num_batches_tracked", Opaque{}},
		{"state_dict.logit_scale", 2.5},
	} {
		got := get(s, c.path)
		if v, ok := got.(float64); ok && math.Abs(v-number(c.want)) < 1e-9 {
			continue
		}
		if !cmp.Equal(c.want, got) {
			t.Errorf("%s: %v, want %v", c.path, got, c.want)
		}
	}
}

func number(v any) float64 {
	f, _ := v.(float64)
	return f
}

// A big-endian machine writes its numbers the other way round; an old torch does
// not say.
func TestScalarTensorsByByteOrder(t *testing.T) {
	for _, c := range []struct {
		order string
		want  any
	}{{"little", int64(7)}, {"big", Opaque{}}, {"littlest", Opaque{}}, {"", int64(7)}} {
		r := strings.NewReader("\x07\x00\x00\x00\x00\x00\x00\x00" + c.order)
		var order *record
		if c.order != "" {
			order = &record{data: 8, size: int64(len(c.order))}
		}
		tensor := scalarTensor{storage: storage{class: "LongStorage", numel: 1}}
		got, err := tensor.number(r, &record{size: 8}, order)
		if err != nil || got != c.want {
			t.Errorf("%q: %v, %v; want %v", c.order, got, err, c.want)
		}
	}
}

func TestHalf(t *testing.T) {
	for _, c := range []struct {
		bits uint16
		want float64
	}{
		{0x3c00, 1}, {0xc000, -2}, {0x7bff, 65504}, {0x0001, 5.960464477539063e-08}, {0x03ff, 6.097555160522461e-05},
		{0x0000, 0}, {0x7c00, math.Inf(1)}, {0xfc00, math.Inf(-1)}, {0x3555, 0.333251953125},
	} {
		if got := half(c.bits); got != c.want {
			t.Errorf("%#x: %v, want %v", c.bits, got, c.want)
		}
	}
	if !math.IsNaN(half(0x7e00)) {
		t.Error("a NaN is a number")
	}
}

// The model of some trainers has thousands of tensors that hold a number.
func TestFewTensorsAreRead(t *testing.T) {
	var items []any
	for range 3 * maxTensorRead {
		items = append(items, scalarTensor{})
	}
	read := 0
	plain(dict{"a": &list{items: items}}, func(scalarTensor) any { read++; return int64(0) })
	if read != maxTensorRead {
		t.Errorf("%d are read", read)
	}
}

func TestOfParameter(t *testing.T) {
	for key, want := range map[string]bool{
		"0": true, "12": true, "layer.0.weight": true, "_orig_mod.fc.bias": true,
		"epoch": false, "best_model_score": false, "": false, "val/loss": false, "step_1": false,
		"ModelCheckpoint{'monitor': 'val.loss', 'mode': 'min'}": false,
	} {
		if ofParameter(key) != want {
			t.Errorf("%q: %v", key, !want)
		}
	}
}
