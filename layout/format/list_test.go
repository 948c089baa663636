package format

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The counts are those that torch gives for the loaded objects.
func TestList(t *testing.T) {
	float32s := func(count, tensors int, elements int64) *Tensors {
		return &Tensors{count, elements, map[string]DType{"float32": {tensors, elements, 4 * elements}}}
	}
	for name, want := range map[string]*Tensors{
		"pytorch_model.bin":       float32s(3, 3, 1601),
		"training_state.pth":      float32s(9, 9, 3205),
		"torch_zip.pth":           float32s(6, 6, 74),
		"torch_legacy.pth":        float32s(2, 2, 36),
		"lightning_like.ckpt":     float32s(9, 9, 111),
		"composer_like.pt":        {DTypes: map[string]DType{}},
		"config.json":             nil,
		"objects_protocol4.pkl":   nil, // a pickle of somebody else
		"weights.h5":              nil,
		"flax_checkpoint.msgpack": nil,
	} {
		f := fixtureNamed(t, name)
		got, err := List(f.name, bytes.NewReader(f.data), int64(len(f.data)))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestListDTypes(t *testing.T) {
	f := fixtureNamed(t, "scalar_tensors.ckpt")
	got, err := List(f.name, bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil || got == nil {
		t.Fatalf("%v, %v", got, err)
	}
	for dtype, want := range map[string]DType{
		"int64": {3, 3, 24}, "float64": {1, 1, 8}, "float16": {1, 1, 2}, "bfloat16": {1, 1, 2},
		"int8": {1, 1, 1}, "bool": {1, 1, 1}, "complex64": {1, 1, 8},
	} {
		if diff := cmp.Diff(want, got.DTypes[dtype]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dtype, diff)
		}
	}
	if got.Count != 18 {
		t.Errorf("%d tensors, want 18", got.Count)
	}
}

func TestListSafetensors(t *testing.T) {
	data := safetensorsOf(`{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},`+
		`"b":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[12,16]},"c":{"dtype":"BF16","shape":[],"data_offsets":[16,18]}}`, 18)
	want := &Tensors{3, 11, map[string]DType{"bfloat16": {2, 7, 14}, "float8_e4m3fn": {1, 4, 4}}}
	got, err := List("model.safetensors", bytes.NewReader(data), int64(len(data)))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := List("model.safetensors", bytes.NewReader(data), int64(len(data)-1)); got != nil || err != nil {
		t.Errorf("a file that is cut short: %v, %v", got, err)
	}
}

func safetensorsOf(header string, tensors int) []byte {
	b := []byte{byte(len(header)), byte(len(header) >> 8), 0, 0, 0, 0, 0, 0}
	return append(append(b, header...), make([]byte, tensors)...)
}

// Weights that are tied are two names of one tensor, and a dtype without a
// storage class is named beside its storage.
func TestTally(t *testing.T) {
	const (
		storage  = "(X\x07\x00\x00\x00storagectorch.storage\nUntypedStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
		tensor   = "ctorch._utils\n_rebuild_tensor_v3\n(" + storage + "K\x00K\x02K\x03\x86K\x03K\x01\x86\x89Nctorch\nfloat8_e4m3fn\ntR"
		negative = "ctorch._utils\n_rebuild_tensor_v3\n(" + storage + "K\x00J\xff\xff\xff\xff\x85K\x01\x85\x89Nctorch\nfloat8_e4m3fn\ntR"
	)
	pickle := "\x80\x02(" + tensor + tensor + negative + "t."
	tl := &tally{seen: map[extent]struct{}{}, all: Tensors{DTypes: map[string]DType{}}}
	if _, err := tl.scan(newCursor(strings.NewReader(pickle), 0, int64(len(pickle)))); err != nil {
		t.Fatal(err)
	}
	want := Tensors{2, 6, map[string]DType{"float8_e4m3fn": {1, 6, 6}}}
	if diff := cmp.Diff(want, tl.all); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Whatever is cut off or changed, there is an answer.
func TestListOfDamagedFiles(t *testing.T) {
	for _, f := range fixtures(t) {
		for at := 0; at < len(f.data); at += 1 + len(f.data)/97 {
			changed := bytes.Clone(f.data)
			changed[at] ^= 0xff
			for _, data := range [][]byte{f.data[:at], changed} {
				if _, err := List(f.name, bytes.NewReader(data), int64(len(data))); err != nil {
					t.Fatalf("%s, cut or changed at %d: %v", f.name, at, err)
				}
			}
		}
	}
}
