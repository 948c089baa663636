package layout

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ckptfs/layout/format"
)

// Content is what is in one file of a checkpoint, besides its progress.
type Content struct {
	Path    string
	Tensors *format.Tensors // nil where the format does not tell
	States  []string        // of States, sorted: what of a training's state the file holds
}

// What training needs to go on as if nothing had happened, besides the weights.
const (
	Optimizer = "optimizer"
	Scheduler = "scheduler"
	Scaler    = "scaler"
	Random    = "random"
)

// States lists them.
var States = []string{Optimizer, Scheduler, Scaler, Random}

// stateWords are parts of the names that trainers give them: of files, and of the
// keys at the top of one.
var stateWords = map[string][]string{
	Optimizer: {"optim"},
	Scheduler: {"sched"},
	Scaler:    {"scaler", "amp_scaling", "loss_scale"},
	Random:    {"rng", "random_state"},
}

// Contents looks into the files that an Inspect has listed. It reads headers and
// pickles, no tensors; the same is asked of fsys, and the error is as there.
func Contents(fsys fs.FS, files []FileReport) ([]Content, error) {
	all := make([]Content, 0, len(files))
	for _, f := range files {
		c, err := contentOf(fsys, f)
		if err != nil {
			return nil, fmt.Errorf("look into %s: %w", f.Path, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func contentOf(fsys fs.FS, report FileReport) (c Content, err error) {
	c.Path = report.Path
	if report.Problem != "" || report.Size == 0 {
		return c, nil // what a damaged file says of itself is nothing to go by
	}
	f, err := fsys.Open(report.Path)
	if err != nil {
		return c, err
	}
	defer f.Close() // it was only read
	r, ok := f.(io.ReaderAt)
	if !ok {
		return c, fmt.Errorf("the file system has no random access (%T is no io.ReaderAt)", f)
	}
	if c.Tensors, err = format.List(report.Path, r, report.Size); err != nil {
		return c, err
	}
	scalars := format.Check(report.Path, r, report.Size).Scalars
	for _, state := range States {
		if holdsState(report.Path, scalars, state) {
			c.States = append(c.States, state)
		}
	}
	slices.Sort(c.States)
	return c, nil
}

// holdsState reports whether a file holds a kind of state: by its own name, or by
// what is at its top. A plain value there is a setting, and an empty one is what
// is left of something that is switched off.
func holdsState(name string, top format.Scalars, state string) bool {
	means := func(key string) bool {
		key = strings.ToLower(key)
		return slices.ContainsFunc(stateWords[state], func(word string) bool { return strings.Contains(key, word) })
	}
	if path.Ext(name) == ".json" {
		return false // settings
	}
	if means(path.Base(name)) {
		return true
	}
	for key, v := range top {
		if means(key) && holdsAnything(v) {
			return true
		}
	}
	return false
}

func holdsAnything(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	case format.Tail, format.Opaque:
		return true
	}
	return false
}

// telling are the formats that tell what state they hold, or that they hold none.
var telling = []string{"torch-zip", "torch-legacy", "pickle", "safetensors", "json"}

// Without reports whether a checkpoint certainly holds none of a kind of state:
// some of its files hold tensors, each of them tells what is in it, and none has it.
func Without(state string, files []FileReport, contents []Content) bool {
	tensors := false
	for i, f := range files {
		if f.Problem != "" || !slices.Contains(telling, f.Format) && f.Core {
			return false
		}
		if slices.Contains(contents[i].States, state) {
			return false
		}
		tensors = tensors || contents[i].Tensors != nil
	}
	return tensors
}
