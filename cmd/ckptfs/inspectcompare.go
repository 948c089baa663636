package main

import (
	"fmt"
	"maps"
	"slices"

	"ckptfs/layout"
)

// difference is one thing that two checkpoints do not share.
type difference struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// compareCheckpoints lists in which of the listed things two checkpoints differ.
func compareCheckpoints(a, b inspected) []difference {
	all := []difference{}
	note := func(what, inA, inB string) {
		if inA != inB {
			all = append(all, difference{what, inA, inB})
		}
	}
	note("layout", a.Layout, b.Layout)
	note("kind", string(a.Kind), string(b.Kind))
	note("state", string(a.State), string(b.State))
	note("epoch", number(a.Epoch), number(b.Epoch))
	note("step", number(a.Step), number(b.Step))
	note("step of the run", number(a.GlobalStep), number(b.GlobalStep))
	note("batches per epoch", number(a.Batches), number(b.Batches))
	for _, name := range either(a.Metrics, b.Metrics) {
		in := func(c inspected) string {
			if v, ok := c.Metrics[name]; ok {
				return metric(v)
			}
			return "-"
		}
		note(name, in(a), in(b))
	}
	for _, state := range layout.States {
		note(state, yes(a.States[state]), yes(b.States[state]))
	}
	filesOfA, filesOfB := byPath(a.Files), byPath(b.Files)
	for _, path := range either(filesOfA, filesOfB) {
		inA, hasA := filesOfA[path]
		inB, hasB := filesOfB[path]
		if !hasA || !hasB {
			note(path, there(inA, hasA), there(inB, hasB))
			continue
		}
		note(path+" format", inA.Format, inB.Format)
		note(path+" size", bytesOf(inA.Size), bytesOf(inB.Size))
		note(path+" tensors", inA.Tensors.brief(), inB.Tensors.brief())
		note(path+" problem", none(inA.Problem), none(inB.Problem))
	}
	return all
}

// either are the keys of one of two maps, or of both, sorted.
func either[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

func byPath(files []inspectedFile) map[string]inspectedFile {
	all := map[string]inspectedFile{}
	for _, f := range files {
		all[f.Path] = f
	}
	return all
}

func there(f inspectedFile, is bool) string {
	if !is {
		return "not there"
	}
	return bytesOf(f.Size)
}

// bytesOf does not round: what differs by a byte differs.
func bytesOf(n int64) string { return fmt.Sprintf("%d B", n) }

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func none(words string) string {
	if words == "" {
		return "none"
	}
	return words
}

// brief is enough to see a difference.
func (t *tensors) brief() string {
	if t == nil || t.Count == 0 {
		return "-"
	}
	words := fmt.Sprintf("%d, %d parameters", t.Count, t.Elements)
	for _, d := range t.DTypes {
		words += fmt.Sprintf(", %s %d B", d.Name, d.Bytes)
	}
	return words
}
