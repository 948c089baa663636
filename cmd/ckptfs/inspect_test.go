package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A checkpoint that is a file, or several that share a name, is looked into
// without its neighbours.
func TestInspectFiles(t *testing.T) {
	for _, test := range []struct {
		name    string
		sources map[string]string // where the files come from; "" for zeros
		layout  string
		files   []string
		epoch   int64 // 0 for unknown
		tensors int   // -1 where nothing tells
		state   string
	}{
		{
			"epoch=4-step=60.ckpt", map[string]string{
				"epoch=4-step=60.ckpt": "lightning_like.ckpt", "last.ckpt": "lightning_like.ckpt", "hparams.json": "",
			}, "lightning", []string{"epoch=4-step=60.ckpt"}, 5, 9, "optimizer",
		},
		{
			"ckpt-7", map[string]string{
				"ckpt-7.index": "ckpt-7.index", "ckpt-7.data-00000-of-00001": "", "checkpoint": "",
			}, "tensorflow", []string{"ckpt-7.data-00000-of-00001", "ckpt-7.index"}, 0, -1, "",
		},
	} {
		dir := t.TempDir()
		for file, source := range test.sources {
			data := make([]byte, 4096)
			if source != "" {
				var err error
				if data, err = os.ReadFile(filepath.Join(repo, "testdata/formats", source)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, err := inspect(askOptions{}, filepath.Join(dir, test.name))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var files []string
		for _, f := range c.Files {
			files = append(files, f.Path)
		}
		tensors, epoch := -1, int64(0)
		if c.Tensors != nil {
			tensors = c.Tensors.Count
		}
		if c.Epoch != nil {
			epoch = *c.Epoch
		}
		if c.Layout != test.layout || !slices.Equal(files, test.files) || tensors != test.tensors || epoch != test.epoch || test.state != "" && !c.States[test.state] {
			t.Errorf("%s: %+v (tensors %+v), want %+v", test.name, c, c.Tensors, test)
		}
	}
}

func TestAddTensors(t *testing.T) {
	var none *tensors
	a := &tensors{2, 12, []dtype{{"float32", 2, 12, 48}}}
	b := &tensors{3, 40, []dtype{{"bfloat16", 1, 30, 60}, {"float32", 2, 10, 40}}}
	if got := none.plus(nil); got != nil {
		t.Errorf("nothing and nothing is %+v", got)
	}
	got := none.plus(a).plus(nil).plus(b)
	if got.Count != 5 || got.Elements != 52 || !slices.Equal(got.DTypes, []dtype{{"float32", 4, 22, 88}, {"bfloat16", 1, 30, 60}}) {
		t.Errorf("%+v", got)
	}
	if a.DTypes[0].Bytes != 48 {
		t.Errorf("a summand has changed: %+v", a)
	}
}
