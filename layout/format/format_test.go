package format

import (
	"bytes"
	"errors"
	"math"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckReadsFixtures(t *testing.T) {
	type want struct {
		Format                    string
		Proven, Checked, Verified bool
	}
	torch := want{TorchZip, true, true, false}
	wants := map[string]want{
		".metadata":               {DCP, true, false, false},
		"arrays.npz":              {NPZ, true, true, false},
		"ckpt-7.index":            {TFIndex, true, true, true},
		"composer_like.pt":        torch,
		"config.json":             {JSON, true, true, true},
		"detectron_like.pth":      torch,
		"fairseq_like.pt":         torch,
		"flax_checkpoint.msgpack": {Msgpack, true, false, false},
		"lightning_like.ckpt":     torch,
		"model.ckpt-300.index":    {TFIndex, true, true, true},
		"model.keras":             {Zip, true, true, false},
		"model.safetensors":       {Safetensors, false, false, false},
		"objects_protocol2.pkl":   {Pickle, true, false, false},
		"objects_protocol3.pkl":   {Pickle, true, false, false},
		"objects_protocol4.pkl":   {Pickle, true, false, false},
		"objects_protocol5.pkl":   {Pickle, true, false, false},
		"pytorch_model.bin":       torch,
		"scalar_tensors.ckpt":     torch,
		"torch_legacy.pth":        {TorchLegacy, true, false, false},
		"torch_zip.pth":           torch,
		"training_state.pth":      torch,
		"weights.h5":              {HDF5, false, false, false},
		"weights_v2.h5":           {HDF5, false, false, false},
		"weights_v3.h5":           {HDF5, false, false, false},
	}
	got := map[string]want{}
	for _, f := range fixtures(t) {
		res := check(f.name, f.data)
		if res.Problem != "" {
			t.Errorf("%s: %s", f.name, res.Problem)
		}
		got[f.name] = want{res.Format, res.Proven, res.Checked, res.Verified}
	}
	if d := cmp.Diff(wants, got); d != "" {
		t.Error(d)
	}
}

func TestCheckReadsScalars(t *testing.T) {
	state := fixtureNamed(t, "training_state.pth")
	scalars := check(state.name, state.data).Scalars
	delete(scalars, "optimizer_state_dict")
	want := Scalars{
		"epoch":         int64(2),
		"step":          int64(0),
		"total_batches": int64(10),
		"best_val_f1":   0.6491228070175439, // a numpy number
		"best_val_acc":  0.65,
		"scheduler_state_dict": map[string]any{
			"base_lrs": []any{0.001}, "last_epoch": int64(20), "verbose": false, "_step_count": int64(21),
			"_get_lr_called_within_step": false, "_last_lr": []any{0.0006666666666666666}, "lr_lambdas": []any{nil},
		},
	}
	if d := cmp.Diff(want, scalars); d != "" {
		t.Error(d)
	}
	for _, c := range []struct {
		file, path string
		want       any
	}{
		{"lightning_like.ckpt", "epoch", int64(4)},
		{"lightning_like.ckpt", "global_step", int64(1234)},
		{"composer_like.pt", "state.timestamp.*.batch", int64(400)},
		{"fairseq_like.pt", "extra_state.train_iterator.epoch", int64(6)},
		{"fairseq_like.pt", "optimizer_history[-1].num_updates", int64(9000)},
		{"detectron_like.pth", "iteration", int64(4999)},
		{"lightning_like.ckpt", "loops.fit_loop.epoch_progress.current.completed", int64(4)},
		{"lightning_like.ckpt", "state_dict.weight", Opaque{}},
		{"lightning_like.ckpt", "optimizer_states[0].state.1.exp_avg", Opaque{}},
		{"torch_legacy.pth", "step", int64(500)},
		{"arrays.npz", "epoch", int64(2)},
		{"model.safetensors", "format", "pt"},
		{"config.json", "num_labels", int64(2)},
	} {
		f := fixtureNamed(t, c.file)
		if got := get(check(f.name, f.data).Scalars, c.path); got != c.want {
			t.Errorf("%s: %s is %v, want %v", c.file, c.path, got, c.want)
		}
	}
}

func get(s Scalars, pattern string) any {
	v, _ := s.Get(pattern)
	return v
}

// A file that ends anywhere before its end must not pass.
func TestCheckRefusesEveryCut(t *testing.T) {
	for _, f := range fixtures(t) {
		for n := range f.data {
			// Whoever writes a .pkl may do so in many ways, and some names say
			// something only together with the first bytes: there a layout knows.
			promised := n >= promisedFrom(f.name)
			res := check(f.name, f.data[:n])
			if promised && n > 0 && res.Format == Unknown || res.Proven {
				t.Fatalf("%s, first %d of %d bytes: passes as %+v", f.name, n, len(f.data), res)
			}
			if promised && res.Problem == "" {
				t.Fatalf("%s, first %d of %d bytes: no problem found", f.name, n, len(f.data))
			}
		}
	}
}

// promisedFrom is how many bytes of a file it takes to know what it has to be.
func promisedFrom(name string) int {
	switch path.Ext(name) {
	case ".pkl":
		return math.MaxInt
	case ".bin", ".metadata":
		return 1
	case ".index":
		return 4
	}
	return 0
}

// The same for a zip whose directory was written although content is missing
// in between, which is what an interrupted torch.save leaves.
func TestCheckRefusesMissingStorage(t *testing.T) {
	f := fixtureNamed(t, "torch_zip.pth")
	records, err := zipRecords(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		if !strings.Contains(rec.name, "/data/") {
			continue
		}
		renamed := strings.Replace(rec.name, "/data/", "/DATA/", 1)
		data := bytes.ReplaceAll(f.data, []byte(rec.name), []byte(renamed))
		if res := check(f.name, data); !strings.Contains(res.Problem, "is not in the file") {
			t.Errorf("without %s: %+v", rec.name, res)
		}
	}
}

func TestCheckSurvivesFlippedBytes(t *testing.T) {
	for _, f := range fixtures(t) {
		data := slices.Clone(f.data)
		for i := 0; i < len(data); i += 1 + len(data)/400 {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				data[i] ^= flip
				check(f.name, data)
				data[i] ^= flip
			}
		}
	}
}

func TestVerifyFindsEveryFlippedByteOfContent(t *testing.T) {
	for _, name := range []string{"torch_zip.pth", "lightning_like.ckpt", "arrays.npz", "model.keras"} {
		f := fixtureNamed(t, name)
		r := bytes.NewReader(f.data)
		if res := Verify(f.name, r, r.Size()); !res.Verified || res.Problem != "" {
			t.Fatalf("%s as it is: %+v", name, res)
		}
		records, err := zipRecords(r, r.Size())
		if err != nil {
			t.Fatal(err)
		}
		data := slices.Clone(f.data)
		for _, rec := range records {
			for i := rec.data; i < rec.data+rec.packed; i++ {
				data[i] ^= 0x10
				res := Verify(f.name, bytes.NewReader(data), int64(len(data)))
				if res.Verified || res.Problem == "" {
					t.Fatalf("%s, byte %d of %s changed: %+v", name, i-rec.data, rec.name, res)
				}
				data[i] ^= 0x10
			}
		}
	}
}

func TestCheckChoosesByNameAndContent(t *testing.T) {
	zip := fixtureNamed(t, "torch_zip.pth").data
	legacy := fixtureNamed(t, "torch_legacy.pth").data
	hdf5 := fixtureNamed(t, "weights.h5").data
	flax := fixtureNamed(t, "flax_checkpoint.msgpack").data
	for _, c := range []struct {
		name    string
		data    []byte
		format  string
		problem string
	}{
		{"a.pth", zip, TorchZip, ""},
		{"dir/optimizer.pt", zip, TorchZip, ""},
		{"random_states_0.pkl", zip, TorchZip, ""},
		{"checkpoint-3.pth.tar", zip, TorchZip, ""},
		{"without_suffix", zip, TorchZip, ""},
		{"a.pth", legacy, TorchLegacy, ""},
		{"weights", hdf5, HDF5, ""},
		{"log.txt", []byte("epoch 1"), Unknown, ""},
		{"log.txt", nil, Unknown, ""},
		{"checkpoint_100", flax, Msgpack, ""},
		{"flax_model.msgpack", flax[:9], Msgpack, "cut short: 38 bytes expected at offset 3, 6 are left"},
		{"checkpoint_100", flax[:100], Unknown, ""},
		{"model.keras", hdf5, HDF5, ""}, // of Keras 2
		{"metrics/metrics", []byte(`{"loss": 0.5}`), JSON, ""},
		{"_CHECKPOINT_METADATA", []byte(`{"a": 1`), Unknown, ""},
		{"log", []byte("{\"a\": 1}\n{\"a\": 2}\n"), Unknown, ""},
		{"ep1-ba20-rank0.pt.gz", []byte("\x1f\x8b\x08\x00compressed"), Unknown, ""},
		{"ep1-ba20-rank0.pt.zst", []byte("\x28\xb5\x2f\xfdcompressed"), Unknown, ""},
		{"ep1-ba20-rank0.pt.xz", []byte("\xfd7zXZ\x00compressed"), Unknown, ""},
		{"__0_0.distcp", zip[:100], Unknown, ""}, // no promise, no claim
		{"notes.bin", []byte("anything"), Unknown, ""},
		{"notes.bin", nil, Unknown, ""},
		{"data.pkl", []byte("(dp0\n."), Unknown, ""}, // protocol 0
		{"a.bin", zip[:100], TorchZip, "cut short: the zip directory that belongs at its end is missing"},
		{"a.pth", nil, TorchZip, "empty"},
		{"a.pth", make([]byte, 4096), TorchZip, "damaged: it begins with zeros, its data never reached the disk"},
		{"a.json", nil, JSON, "empty"},
		{"a.json", []byte(`{"a": 1`), JSON, "cut short: the JSON text does not end"},
		{"a.safetensors", []byte("12"), Safetensors, "cut short: the length of its header is missing"},
		{"a.h5", []byte("nothing of the kind"), HDF5, "damaged: it does not begin as an HDF5 file"},
	} {
		res := check(c.name, c.data)
		if res.Format != c.format || res.Problem != c.problem {
			t.Errorf("%s (%.10q…): %s, %q; want %s, %q", c.name, c.data, res.Format, res.Problem, c.format, c.problem)
		}
	}
}

func TestCheckReportsReadErrors(t *testing.T) {
	for _, f := range fixtures(t) {
		res := Check(f.name, brokenDisk{}, int64(len(f.data)))
		if res.Proven || res.Problem != "cannot be read: input/output error" {
			t.Errorf("%s: %+v", f.name, res)
		}
	}
}

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

// A file can shrink between Stat and reading.
func TestCheckOfShrunkenFile(t *testing.T) {
	for _, f := range fixtures(t) {
		if strings.HasSuffix(f.name, ".pkl") {
			continue
		}
		res := Check(f.name, bytes.NewReader(f.data[:len(f.data)/2]), int64(len(f.data)))
		if res.Problem == "" && path.Ext(f.name) != ".h5" && f.name != "model.safetensors" {
			t.Errorf("%s: no problem found", f.name)
		}
	}
}
