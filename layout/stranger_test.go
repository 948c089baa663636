package layout

import (
	"testing"
	"testing/fstest"
)

func TestStranger(t *testing.T) {
	l := enstack(t)
	for name, want := range map[string]bool{
		"train.log": true, "lock": true, "metrics.json": true, "notes/readme.txt": true, "tokenizer.json": true,
		"config.json": false, "training_state.pth": false, "pytorch_model.bin": false,
		"more.safetensors": false, "ema.PT": false, "a.pth.tar": false, "old/config.json": true,
	} {
		if got := l.Stranger(Dir, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	none, err := Parse("test.yaml", []byte("name: x\nentries: [{kind: last, type: dir, name: last}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if none.Stranger(Dir, "train.log") {
		t.Error("a layout that names no files knows strangers")
	}
}

// A stranger may be damaged; a file of tensors may not, whatever it is called.
func TestInspectDamagedStranger(t *testing.T) {
	fsys := files(t, "last_checkpoint")
	fsys["metrics.json"] = &fstest.MapFile{Data: []byte("{\"a\": 1}\n{\"a\"")}
	r := inspect(t, "last_checkpoint", fsys)
	if !r.Valid() {
		t.Errorf("a damaged log makes it invalid: %q", r.Problems)
	}
	for _, f := range r.Files {
		if f.Path == "metrics.json" && f.Problem == "" {
			t.Error("that it is damaged is not said")
		}
	}
	fsys["ema.pt"] = &fstest.MapFile{Data: []byte("PK\x03\x04")}
	if r := inspect(t, "last_checkpoint", fsys); r.Valid() {
		t.Error("a torn file of tensors is taken for a stranger")
	}
}
