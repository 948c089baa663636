package layout

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"ckptfs/testdata/runs"
)

func TestRecognise(t *testing.T) {
	copied, err := fs.Sub(runs.FS, "enstack/best_model")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		fsys fs.FS
		want string
	}{
		{"a checkpoint", copied, "enstack"},
		{"nothing", fstest.MapFS{}, ""},
		{"a settings file", fstest.MapFS{"config.json": {Data: []byte("{}")}}, ""},
		{"a text", fstest.MapFS{"notes.txt": {Data: []byte("latest")}}, ""},
	} {
		got := ""
		if l := Recognise(Builtin(), test.fsys); l != nil {
			got = l.Name
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
