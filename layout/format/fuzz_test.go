package format

import (
	"bytes"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a fuzzer may find: no file makes a reader panic, allocate more than the
// package says, or take long.

const (
	maxAllocated = 512 << 20 // as the package's doc says
	maxTime      = 20 * time.Second
)

// spend runs f and returns what it allocated, in bytes.
func spend(t testing.TB, f func()) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if took > maxTime {
		t.Errorf("it took %v", took)
	}
	return after.TotalAlloc - before.TotalAlloc
}

// judge checks one file as every fuzz target does.
func judge(t *testing.T, name string, data []byte) {
	t.Helper()
	var res Result
	if spent := spend(t, func() { res = check(name, data) }); spent > maxAllocated {
		t.Errorf("%d MiB allocated for %d bytes", spent>>20, len(data))
	}
	if !slices.Contains(Names, res.Format) {
		t.Errorf("unknown format %q", res.Format)
	}
	if res.Problem != "" && (res.Proven || res.Checked || res.Scalars != nil) {
		t.Errorf("both damaged and proven: %+v", res)
	}
	if n := nodes(map[string]any(res.Scalars)); n > 2*maxJSONValues {
		t.Errorf("%d values are kept", n)
	}
	r := bytes.NewReader(data)
	if v := Verify(name, r, r.Size()); v.Verified && (v.Problem != "" || !v.Checked) {
		t.Errorf("verified and not: %+v", v)
	}
}

// nodes counts the values of a tree.
func nodes(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			n += nodes(item)
		}
	case []any:
		for _, item := range v {
			n += nodes(item)
		}
	case Tail:
		n += nodes(v.Items)
	}
	return n
}

// fuzzReader lets a fuzzer write files of one name, beginning with the real
// ones that the suffixes choose and whatever a target adds.
func fuzzReader(f *testing.F, name string, suffixes ...string) {
	for _, fixture := range fixtures(f) {
		if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(fixture.name, s) }) {
			f.Add(fixture.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		judge(t, name, data)
		if _, err := List(name, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("list the tensors: %v", err)
		}
	})
}

func FuzzTorchZip(f *testing.F) {
	f.Add(deflated("m/data.pkl", torchPickle(nil)))
	fuzzReader(f, "a.pth", "torch_zip.pth", "training_state.pth", ".ckpt", "detectron_like.pth", "fairseq_like.pt", "composer_like.pt")
}

func FuzzTorchLegacy(f *testing.F) { fuzzReader(f, "a.pth", "torch_legacy.pth") }

func FuzzPickleFile(f *testing.F) { fuzzReader(f, "a.pt", ".pkl") }

func FuzzSafetensors(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	fuzzReader(f, "a.safetensors", ".safetensors")
}

func FuzzNPZ(f *testing.F) { fuzzReader(f, "a.npz", ".npz") }

func FuzzZip(f *testing.F) {
	f.Add(deflated("config.json", bytes.Repeat([]byte("keras "), 100)))
	fuzzReader(f, "a.zip", "torch_zip.pth", ".keras")
}

func FuzzKeras(f *testing.F) {
	f.Add(stored("model.weights.h5", string(superblock(2, 200, 0, 200))))
	fuzzReader(f, "a.keras", ".keras")
}

func FuzzMsgpack(f *testing.F) {
	f.Add([]byte("\x81\xa1a\xc7\x0a\x03\x93\x90\xa5int32\xc4\x04\x01\x00\x00\x00"))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	fuzzReader(f, "a.msgpack", ".msgpack")
}

func FuzzHDF5(f *testing.F) {
	f.Add(append(bytes.Repeat([]byte{0}, 512), hdf5Signature+"\x03\x08\x08\x00"+strings.Repeat("\x00", 40)...))
	fuzzReader(f, "a.h5", ".h5")
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte("[NaN, -Infinity, 1e999, \"\\ud800\"]"))
	fuzzReader(f, "a.json", ".json")
}

func FuzzDCP(f *testing.F) { fuzzReader(f, ".metadata", ".metadata") }

func FuzzTFIndex(f *testing.F) {
	f.Add(aTable(0, tableEntry("", "\x08\x01")+tableEntry("a", "\x20\x05\x28\x07")))
	fuzzReader(f, "ckpt-7.index", ".index")
}

func FuzzOCDBT(f *testing.F) {
	f.Add(manifest("\x00\x00body", 0))
	fuzzReader(f, "manifest.ocdbt", ".ocdbt")
}

// FuzzIndex: what any file asks for lies below its directory.
func FuzzIndex(f *testing.F) {
	for _, fixture := range fixtures(f) {
		if IsIndex(fixture.name) {
			f.Add(fixture.name, fixture.data)
		}
	}
	f.Add("model.safetensors.index.json", []byte(`{"metadata": {"total_size": 1}, "weight_map": {"a": "b.safetensors", "c": ["d", "./e/f"]}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		var needs Needs
		var err error
		if spent := spend(t, func() { needs, err = index(name, data) }); spent > maxAllocated {
			t.Errorf("%d MiB allocated for %d bytes", spent>>20, len(data))
		}
		if err != nil && needs != nil {
			t.Errorf("both damaged and needed: %v, %v", needs, err)
		}
		for file, size := range needs {
			if !filepath.IsLocal(file) || size < 0 {
				t.Errorf("%q is needed with %d bytes", file, size)
			}
		}
	})
}

// FuzzCheck: a file of any name.
func FuzzCheck(f *testing.F) {
	for _, fixture := range fixtures(f) {
		f.Add(fixture.name, fixture.data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		judge(t, name, data)
	})
}

// FuzzScanPickle: one pickle, whatever follows it.
func FuzzScanPickle(f *testing.F) {
	for _, fixture := range fixtures(f) {
		if strings.HasSuffix(fixture.name, ".pkl") || fixture.name == "torch_legacy.pth" {
			f.Add(fixture.data)
		}
	}
	f.Add(torchPickle(manyStorages(3, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		spent := spend(t, func() {
			if p, err := scan(data); err == nil {
				plain(p.top, nil)
			}
		})
		if spent > maxAllocated {
			t.Errorf("%d MiB allocated for %d bytes", spent>>20, len(data))
		}
	})
}
