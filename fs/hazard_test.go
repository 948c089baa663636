package fs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The trainers that act on every name that a listing shows are not shown the
// views, and come to their end (P5, P6). What follows are their own loops.
func TestListingHazards(t *testing.T) {
	traces := map[string]trace{}
	for _, tr := range readTraces(t) {
		traces[tr.name] = tr
	}
	for name, loop := range map[string]func(t *testing.T, root string){
		"accelerate": sortAll, "openrlhf": evict, "nemo": everyDirectory, "megatron": cleanUp,
	} {
		t.Run(name, func(t *testing.T) {
			m := mountAt(t, t.TempDir(), t.TempDir(), traceConfig)
			r, err := newReplay(traces[name], m, "run")
			if err != nil {
				t.Fatal(err)
			}
			defer r.end("kill")
			for _, s := range r.steps {
				if err := r.do(s, false); err != nil {
					t.Fatal(err)
				}
			}
			before, err := r.views()
			if err != nil || len(before) == 0 {
				t.Fatalf("no view: %v", err)
			}
			loop(t, m.path("run"))
			if _, err := r.views(); err != nil {
				t.Error(err)
			}
		})
	}
}

// sortAll is save_state and load_state of accelerate: all entries are sorted by
// the first number in their names, the least are removed, the last is loaded.
func sortAll(t *testing.T, root string) {
	number := regexp.MustCompile(`[/]?([0-9]+)[^/]*$`)
	names, err := listNames(root)
	if err != nil {
		t.Fatal(err)
	}
	of := func(name string) int {
		found := number.FindStringSubmatch(name)
		if found == nil {
			t.Fatalf("IndexError: list index out of range: %s", name)
		}
		n, _ := strconv.Atoi(found[1])
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return of(a) - of(b) })
	last := names[len(names)-1]
	for _, name := range names[:len(names)-1] {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if left, _ := listNames(root); !slices.Equal(left, []string{last}) || !exists(filepath.Join(root, last, "random_states_0.pkl")) {
		t.Errorf("left are %q, and %s is what is loaded", left, last)
	}
}

// evict is save_ckpt of OpenRLHF: while there are too many directories, the
// least is removed, and all are listed again.
func evict(t *testing.T, root string) {
	for round := 0; ; round++ {
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		var dirs []string
		for _, e := range entries {
			if e.IsDir() && !strings.HasPrefix(e.Name(), "best") {
				dirs = append(dirs, filepath.Join(root, e.Name()))
			}
		}
		if len(dirs) == 0 {
			return
		}
		if round > 10 {
			t.Fatalf("an endless loop over %q", dirs)
		}
		slices.SortFunc(dirs, func(a, b string) int { // those without a metric first
			return boolInt(exists(filepath.Join(a, "metric.json"))) - boolInt(exists(filepath.Join(b, "metric.json")))
		})
		if err := os.RemoveAll(dirs[0]); err != nil {
			t.Fatalf("rmtree: %v", err)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// everyDirectory is how NeMo finds its checkpoints: every directory is one.
func everyDirectory(t *testing.T, root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !exists(filepath.Join(root, e.Name(), "weights", "metadata.json")) {
			t.Errorf("%s is no checkpoint, and NeMo takes it for one", e.Name())
		}
		if e.IsDir() && !strings.Contains(e.Name(), "step=") {
			t.Errorf("NeMo takes %s for a checkpoint", e.Name())
		}
	}
	for _, pattern := range []string{"*last", "*end"} {
		if found, _ := filepath.Glob(filepath.Join(root, pattern)); len(found) > 0 {
			t.Errorf("%s finds %q", pattern, found)
		}
	}
}

// cleanUp is that of Megatron's non-persistent checkpoints: iter_* at any depth
// is removed but for the newest.
func cleanUp(t *testing.T, root string) {
	var found []string
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "iter_") {
			found = append(found, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		if filepath.Dir(p) != root {
			t.Errorf("it finds %s", p)
		}
	}
	slices.Sort(found)
	err = nil
	for _, p := range found[:len(found)-1] {
		err = errors.Join(err, os.RemoveAll(p))
	}
	if err != nil {
		t.Error(fmt.Errorf("rmtree: %w", err))
	}
}
