package format

import (
	"archive/zip"
	"bytes"
	"testing"
)

// A save that failed leaves a whole zip all the same.
func TestKeras(t *testing.T) {
	whole := string(superblock(2, 200, 0, 200))
	for _, c := range []struct {
		name    string
		records []string // each its name and content
		problem string
	}{
		{"whole", []string{"metadata.json", "{}", "config.json", "{}", "model.weights.h5", whole}, ""},
		{"weights of numpy", []string{"config.json", "{}", "model.weights.npz", "PK"}, ""},
		{"weights in shards", []string{"config.json", "{}", "model.weights.json", "{}", "model_00000.weights.h5", whole}, ""},
		{"no weights", []string{"metadata.json", "{}", "config.json", "{}"}, "damaged: it has no weights"},
		{"no configuration", []string{"metadata.json", "{}", "model.weights.h5", whole}, "damaged: it has no config.json"},
		{"cut weights", []string{"config.json", "{}", "model.weights.h5", whole[:199]}, `damaged: record "model.weights.h5": cut short: it ends at 200, 199 bytes are there`},
		{"empty weights", []string{"config.json", "{}", "model.weights.h5", ""}, `damaged: record "model.weights.h5": damaged: it does not begin as an HDF5 file`},
	} {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := 0; i < len(c.records); i += 2 {
			out, err := w.CreateHeader(&zip.FileHeader{Name: c.records[i], Method: zip.Store})
			if err == nil {
				_, err = out.Write([]byte(c.records[i+1]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		res := check("model.keras", b.Bytes())
		if res.Problem != c.problem || res.Proven != (c.problem == "") || res.Format != Zip {
			t.Errorf("%s: %+v, want %q", c.name, res, c.problem)
		}
	}
}
