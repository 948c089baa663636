package store

import (
	"slices"
	"strings"
	"testing"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/disk/disktest"
	"ckptfs/testdata/figures"
)

// harmless are the steps of a commit that can change places, and why: nothing
// has happened to the version before until the swap, and what comes until then
// only has to be there together.
var harmless = map[[2]disk.Op]string{
	{"commit:sync", "commit:staged"}:      "the swap needs both, and neither needs the other",
	{"commit:sync", "commit:manifest"}:    "the manifest is believed only by a commit that has a journal record",
	{"commit:staged", "commit:manifest"}:  "the swap needs both, and neither needs the other",
	{"commit:staged", "commit:journal"}:   "a record of a swap that is not there yet carries it out again",
	{"commit:manifest", "commit:journal"}: "a record without its manifest is carried out only where nothing lies",
	{"commit:journal", "commit:away"}:     "what went to the history without a record gets its name back",
	{"commit:parent", "commit:keep"}:      "both sync a directory that the swap has changed",
	{"commit:keep", "commit:tidy"}:        "tidying spares what is not its own",
	{"commit:tidy", "commit:done"}:        "what is left of a save without a tree belongs to no save",
}

// harmlessInTwo are more of them where directories cannot be exchanged: the
// version before goes to the history first, and gets its name back from there.
var harmlessInTwo = map[[2]disk.Op]string{
	{"commit:staged", "commit:away"}:   "what went to the history without a record gets its name back",
	{"commit:staged", "commit:keep"}:   "nothing is swapped out into the staging directory",
	{"commit:staged", "commit:tidy"}:   "nothing is swapped out into the staging directory",
	{"commit:staged", "commit:done"}:   "nothing is swapped out into the staging directory",
	{"commit:manifest", "commit:away"}: "what went to the history without a record gets its name back",
	{"commit:journal", "commit:keep"}:  "what has its name and its manifest is committed without a record",
	{"commit:journal", "commit:tidy"}:  "what has its name and its manifest is committed without a record",
	{"commit:journal", "commit:done"}:  "what has its name and its manifest is committed without a record",
	{"commit:keep", "commit:done"}:     "the version before is in the history since the first of the two renames",
}

// mayChange says why two steps may change places, "" when they must not.
func (sc scene) mayChange(a, b disk.Op) string {
	if why := harmless[[2]disk.Op{a, b}]; why != "" || sc.exchange {
		return why
	}
	return harmlessInTwo[[2]disk.Op{a, b}]
}

// The steps of a commit are in the order that they need: with any two of them
// swapped, some cut breaks a promise. A run of all tests swaps neighbours only.
func TestEveryStepIsInItsPlace(t *testing.T) {
	inMemory(t)
	pairs, noticed := 0, 0
	for _, sc := range []scene{{pattern: patterns[1]}, {pattern: patterns[1], exchange: true}} {
		t.Run(sc.String(), func(t *testing.T) {
			r := sc.record(t)
			order := steps(r.Events)
			for i, a := range order {
				for n, b := range order[i+1:] {
					if n > 0 && !*allCuts {
						break
					}
					if !*allCuts && sc.mayChange(a, b) != "" {
						continue // to see that nothing is lost takes every cut
					}
					events, from := swapped(r.Events, a, b)
					pairs++
					wrong := sc.broken(t, r.With(events), from)
					why := sc.mayChange(a, b)
					switch {
					case wrong == nil && why == "":
						t.Errorf("nothing is lost with %s and %s in each other's place", a, b)
					case wrong != nil && why != "":
						t.Errorf("%s and %s cannot change places although %s: %v", a, b, why, wrong)
					case wrong != nil:
						noticed++
						first, _, _ := strings.Cut(wrong.Error(), "\n")
						t.Logf("%s and %s: %s", a, b, first)
					}
				}
			}
		})
	}
	figures.Report(t, "steps of a commit swapped", "%d pairs, %d of them noticed, the others shown to be harmless", pairs, noticed)
}

// steps are the labels of a commit's calls, in their order.
func steps(events []disktest.Event) (ops []disk.Op) {
	for _, e := range events {
		if strings.HasPrefix(string(e.Op), "commit:") && !slices.Contains(ops, e.Op) {
			ops = append(ops, e.Op)
		}
	}
	return ops
}

// swapped gives two steps each other's place; from is the first event that is
// another one.
func swapped(events []disktest.Event, a, b disk.Op) (out []disktest.Event, from int) {
	of := map[disk.Op][]disktest.Event{}
	for i, e := range events {
		if (e.Op == a || e.Op == b) && len(of) == 0 {
			from = i
		}
		of[e.Op] = append(of[e.Op], e)
	}
	other := map[disk.Op]disk.Op{a: b, b: a}
	placed := map[disk.Op]bool{}
	for _, e := range events {
		switch o := other[e.Op]; {
		case o == "":
			out = append(out, e)
		case !placed[e.Op]:
			placed[e.Op] = true
			out = append(out, of[o]...)
		}
	}
	return out, from
}
