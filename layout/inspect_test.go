package layout

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const run = "../testdata/runs/enstack"

// files are what a checkpoint of the run holds, to be changed by a test.
func files(t testing.TB, checkpoint string) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{}
	entries, err := os.ReadDir(filepath.Join(run, checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(run, checkpoint, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	return all
}

func inspect(t testing.TB, name string, fsys fs.FS) Report {
	t.Helper()
	l := enstack(t)
	m, ok := l.Match(name, true)
	if !ok {
		t.Fatalf("%s is no checkpoint", name)
	}
	r, err := l.Inspect(fsys, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestInspectRun(t *testing.T) {
	progress := func(epoch, step, global int64) Progress {
		return Progress{Epoch: &epoch, Step: &step, GlobalStep: &global, BatchesPerEpoch: at(10)}
	}
	for name, want := range map[string]Progress{
		"checkpoint_epoch1_step4": progress(1, 4, 4),
		"checkpoint_epoch1_step8": progress(1, 8, 8),
		"checkpoint_epoch2_step4": progress(2, 4, 14),
		"checkpoint_epoch2_step8": progress(2, 8, 18),
		"checkpoint_epoch3_step4": progress(3, 4, 24),
		"recovery_checkpoint":     progress(3, 4, 24),
		"last_checkpoint":         progress(2, 0, 20),
		"best_model":              progress(2, 0, 20),
	} {
		r := inspect(t, name, os.DirFS(filepath.Join(run, name)))
		if !r.Valid() {
			t.Errorf("%s: missing %q, problems %q", name, r.Missing, r.Problems)
		}
		if d := cmp.Diff(want, r.Progress); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestInspectReport(t *testing.T) {
	want := Report{
		Progress: Progress{Epoch: at(2), Step: at(0), GlobalStep: at(20), BatchesPerEpoch: at(10)},
		Metrics:  map[string]float64{"best_val_f1": 0.6491228070175439, "best_val_acc": 0.65},
		Files: []FileReport{
			{Path: "config.json", Format: "json", Size: 26, Core: true, Proven: true, Checked: true, Verified: true},
			{Path: "notes/readme.txt", Format: "opaque", Size: 5},
			{Path: "pytorch_model.bin", Format: "torch-zip", Size: 7745, Core: true, Proven: true, Checked: true},
			{Path: "training_state.pth", Format: "torch-zip", Size: 16216, Core: true, Proven: true, Checked: true},
		},
	}
	fsys := files(t, "last_checkpoint")
	fsys["notes/readme.txt"] = &fstest.MapFile{Data: []byte("hello")}
	fsys["elsewhere.pth"] = &fstest.MapFile{Data: []byte("../x"), Mode: fs.ModeSymlink}
	if d := cmp.Diff(want, inspect(t, "last_checkpoint", fsys)); d != "" {
		t.Error(d)
	}
}

// The same checkpoint, spoilt in one way each.
func TestInspectSpoilt(t *testing.T) {
	for _, c := range []struct {
		name     string
		spoil    func(fstest.MapFS)
		missing  []string
		problems []string
	}{
		{"no state", func(f fstest.MapFS) { delete(f, "training_state.pth") }, []string{"training_state.pth"}, nil},
		{"no weights", func(f fstest.MapFS) { delete(f, "pytorch_model.bin") },
			[]string{"one of model.safetensors, pytorch_model.bin"}, nil},
		{"nothing", func(f fstest.MapFS) { clear(f) },
			[]string{"config.json", "training_state.pth", "one of model.safetensors, pytorch_model.bin"}, nil},
		{"an empty config", func(f fstest.MapFS) { f["config.json"].Data = nil },
			[]string{"config.json (empty)"}, []string{"config.json: empty"}},
		{"empty weights", func(f fstest.MapFS) { f["pytorch_model.bin"].Data = nil },
			[]string{"one of model.safetensors, pytorch_model.bin (pytorch_model.bin is empty)"}, []string{"pytorch_model.bin: empty"}},
		{"a link in place of the state", func(f fstest.MapFS) { f["training_state.pth"].Mode = fs.ModeSymlink },
			[]string{"training_state.pth (a symbolic link)"}, nil},
		{"a pipe in place of the state", func(f fstest.MapFS) { f["training_state.pth"].Mode = fs.ModeNamedPipe },
			[]string{"training_state.pth (a special file)"}, nil},
		{"a state in a directory", func(f fstest.MapFS) {
			f["old/training_state.pth"] = f["training_state.pth"]
			delete(f, "training_state.pth")
		}, []string{"training_state.pth"}, nil},
		{"a truncated state", func(f fstest.MapFS) { f["training_state.pth"].Data = f["training_state.pth"].Data[:9000] },
			nil, []string{"training_state.pth: cut short: the zip directory that belongs at its end is missing"}},
		{"weights of zeros", func(f fstest.MapFS) { clear(f["pytorch_model.bin"].Data) },
			nil, []string{"pytorch_model.bin: not a torch-zip or torch-legacy file"}},
		{"a state of another program", func(f fstest.MapFS) { f["training_state.pth"].Data = []byte("\x80\x02}.") },
			nil, []string{"training_state.pth: not a torch-zip or torch-legacy file"}},
		{"a state without its optimizer", func(f fstest.MapFS) {
			data := f["training_state.pth"].Data
			f["training_state.pth"].Data = bytes.ReplaceAll(data, []byte("optimizer_state_dict"), []byte("OPTIMIZER_STATE_DICT"))
		}, []string{`"optimizer_state_dict" in training_state.pth`}, nil},
		{"a half-written shard beside it", func(f fstest.MapFS) { f["more.safetensors"] = &fstest.MapFile{Data: []byte("ab")} },
			nil, []string{"more.safetensors: cut short: the length of its header is missing"}},
	} {
		fsys := files(t, "last_checkpoint")
		c.spoil(fsys)
		r := inspect(t, "last_checkpoint", fsys)
		if d := cmp.Diff(c.missing, r.Missing); d != "" {
			t.Errorf("%s: missing: %s", c.name, d)
		}
		if d := cmp.Diff(c.problems, r.Problems); d != "" {
			t.Errorf("%s: problems: %s", c.name, d)
		}
		if r.Complete() != (c.missing == nil) || r.Valid() {
			t.Errorf("%s: complete %v, valid %v", c.name, r.Complete(), r.Valid())
		}
	}
}

func TestInspectSafetensorsAsWeights(t *testing.T) {
	data, err := os.ReadFile("../testdata/formats/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	fsys := files(t, "last_checkpoint")
	delete(fsys, "pytorch_model.bin")
	fsys["model.safetensors"] = &fstest.MapFile{Data: data}
	if r := inspect(t, "last_checkpoint", fsys); !r.Valid() {
		t.Errorf("missing %q, problems %q", r.Missing, r.Problems)
	}
}

// A name that gives epoch and step is right even if the metadata says
// otherwise, or nothing.
func TestInspectNameWins(t *testing.T) {
	r := inspect(t, ".backup_checkpoint_epoch7_step2", files(t, "checkpoint_epoch3_step4"))
	if got := r.Progress.String(); got != "epoch 7 step 2" || *r.Progress.GlobalStep != 62 {
		t.Errorf("%s, global step %d", got, *r.Progress.GlobalStep)
	}
	r = inspect(t, "checkpoint_epoch7_step2", fstest.MapFS{})
	if got := r.Progress.String(); got != "epoch 7 step 2" || r.Progress.GlobalStep != nil {
		t.Errorf("%s, global step %v", got, r.Progress.GlobalStep)
	}
}

func TestVerifyProvesContent(t *testing.T) {
	l := enstack(t)
	fsys := files(t, "last_checkpoint")
	if r := inspect(t, "last_checkpoint", fsys); r.Proven() {
		t.Error("proven without having read the tensors")
	}
	r, err := l.Verify(fsys, Match{Kind: Last})
	if err != nil || !r.Proven() {
		t.Fatalf("proven %v, %v", r.Proven(), err)
	}
	// A byte of a tensor, which no structure shows.
	fsys["pytorch_model.bin"].Data[3000] ^= 1
	if r := inspect(t, "last_checkpoint", fsys); !r.Valid() {
		t.Errorf("problems %q", r.Problems)
	}
	r, err = l.Verify(fsys, Match{Kind: Last})
	if err != nil || r.Proven() || r.Valid() || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "checksum") {
		t.Errorf("proven %v, problems %q, %v", r.Proven(), r.Problems, err)
	}
	// A file that proves nothing about itself spoils the proof, not the checkpoint.
	fsys = files(t, "last_checkpoint")
	fsys["vocab.txt"] = &fstest.MapFile{Data: []byte("a b c")}
	r, err = l.Verify(fsys, Match{Kind: Last})
	if err != nil || r.Proven() || !r.Valid() {
		t.Errorf("proven %v, valid %v, %v", r.Proven(), r.Valid(), err)
	}
	if (&Report{}).Proven() {
		t.Error("nothing is proven of nothing")
	}
}

// Trouble in reading is an error: it says nothing about the checkpoint.
func TestInspectReadErrors(t *testing.T) {
	l := enstack(t)
	whole := files(t, "last_checkpoint")
	for _, c := range []struct {
		name string
		fsys fs.FS
		want string
	}{
		{"no such checkpoint", os.DirFS(filepath.Join(t.TempDir(), "gone")), "inspect checkpoint: stat .: no such file or directory"},
		{"a bad disk", spoiltFS{whole, func(f fs.File) fs.File { return badDisk{f} }},
			"inspect checkpoint: read config.json: input/output error"},
		{"no random access", spoiltFS{whole, func(f fs.File) fs.File { return struct{ fs.File }{f} }},
			"inspect checkpoint: read config.json: the file system has no random access (struct { fs.File } is no io.ReaderAt)"},
	} {
		_, err := l.Inspect(c.fsys, Match{Kind: Last})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// A file that is removed between listing and opening was not there.
func TestInspectVanishingFile(t *testing.T) {
	fsys := vanishing{files(t, "last_checkpoint"), "config.json"}
	r := inspect(t, "last_checkpoint", fsys)
	if d := cmp.Diff([]string{"config.json"}, r.Missing); d != "" {
		t.Error(d)
	}
}

type spoiltFS struct {
	fstest.MapFS
	wrap func(fs.File) fs.File
}

func (s spoiltFS) Open(name string) (fs.File, error) {
	f, err := s.MapFS.Open(name)
	if info, statErr := f.Stat(); err != nil || statErr != nil || info.IsDir() {
		return f, err
	}
	return s.wrap(f), nil
}

type badDisk struct{ fs.File }

func (badDisk) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

var _ io.ReaderAt = badDisk{}

type vanishing struct {
	fstest.MapFS
	name string
}

func (v vanishing) Open(name string) (fs.File, error) {
	if name == v.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return v.MapFS.Open(name)
}

func BenchmarkInspect(b *testing.B) {
	l := enstack(b)
	fsys := os.DirFS(filepath.Join(run, "last_checkpoint"))
	for b.Loop() {
		if r, err := l.Inspect(fsys, Match{Kind: Last}); err != nil || !r.Valid() {
			b.Fatal(r.Problems, err)
		}
	}
}
