package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ckptfs/layout"
)

func TestResolveEnstackRun(t *testing.T) {
	cs := enstackRun()
	v := Resolve(cs, Default())
	for view, want := range map[string]struct {
		Resolution
		name string
	}{
		"latest": {v.Latest, "checkpoint_epoch3_step4"},
		"resume": {v.Resume, "last_checkpoint"},
		"best":   {v.Best, "best_model"},
	} {
		if got := target(cs, want.Target); got != want.name {
			t.Errorf("%s/ = %q, want %q", view, got, want.name)
		}
	}
	if diff := cmp.Diff(map[int64]string{
		1: "checkpoint_epoch1_step8", 2: "last_checkpoint", 3: "checkpoint_epoch3_step4",
	}, names(cs, v.ByEpoch)); diff != "" {
		t.Errorf("by-epoch (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int64]string{
		4: "checkpoint_epoch1_step4", 8: "checkpoint_epoch1_step8",
		14: "checkpoint_epoch2_step4", 18: "checkpoint_epoch2_step8",
		20: "last_checkpoint", 24: "checkpoint_epoch3_step4",
	}, names(cs, v.ByStep)); diff != "" {
		t.Errorf("by-step (-want +got):\n%s", diff)
	}

	steps, known, hint := Behind(cs, v)
	const want = "resume/ is 4 steps behind latest/ (last_checkpoint is end of epoch 2, " +
		"checkpoint_epoch3_step4 is epoch 3 step 4); " +
		"set resume.prefer: progress in .ckptfs.yaml to resume from the most advanced one"
	if steps != 4 || !known || hint != want {
		t.Errorf("Behind = %d, %t, %q\nwant 4, true, %q", steps, known, hint, want)
	}
}

func TestLatest(t *testing.T) {
	tests := []struct {
		name string
		cs   []Checkpoint
		want string
	}{
		{"empty run", nil, ""},
		{"most global steps", []Checkpoint{midEpoch(1, 8), last(1), midEpoch(1, 4)}, "last_checkpoint"},
		{"a number is no word: 10 is after 9", []Checkpoint{midEpoch(1, 9), midEpoch(1, 10).but(noGlobalStep)}, "checkpoint_epoch1_step10"},
		{"the end of an epoch is after its last step", []Checkpoint{
			midEpoch(2, 10).but(noGlobalStep), last(2).but(noGlobalStep)}, "last_checkpoint"},
		{"a tie goes to the name with numbers, though recovery is later", []Checkpoint{
			recovery(3, 4).but(later), midEpoch(3, 4)}, "checkpoint_epoch3_step4"},
		{"a tie without numbers goes to the later commit", []Checkpoint{best(2), last(2).but(later)}, "last_checkpoint"},
		{"a tie in everything goes to the first name", []Checkpoint{last(2), best(2)}, "best_model"},
		{"an unknown progress is behind a known one", []Checkpoint{
			midEpoch(1, 4), last(9).but(unknown)}, "checkpoint_epoch1_step4"},
		{"no progress at all: the later commit, not the name with numbers", []Checkpoint{
			midEpoch(1, 4).but(unknown), recovery(1, 4).but(unknown).but(later)}, "recovery_checkpoint"},
		{"incomplete", []Checkpoint{midEpoch(1, 4), midEpoch(1, 8).but(state(Incomplete, "x"))}, "checkpoint_epoch1_step4"},
		{"the committed version of a name that is being saved", []Checkpoint{
			midEpoch(1, 4), last(1).but(func(c *Checkpoint) { c.Saving = true })}, "last_checkpoint"},
		{"history and trash do not count", []Checkpoint{
			last(2).but(state(History, "")), midEpoch(1, 8).but(state(Trash, "")), midEpoch(1, 4)}, "checkpoint_epoch1_step4"},
		{"a version that was renamed aside counts", []Checkpoint{
			saved(".backup_last_checkpoint", layout.Backup, 2, 0), midEpoch(2, 8)}, ".backup_last_checkpoint"},
		{"a temporary name never resolves", []Checkpoint{
			saved(".tmp_last_checkpoint_ab12cd34", layout.Temp, 3, 0), midEpoch(2, 8)}, "checkpoint_epoch2_step8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := target(test.cs, Resolve(test.cs, Default()).Latest.Target); got != test.want {
				t.Errorf("latest/ = %q, want %q", got, test.want)
			}
		})
	}
}

// TestScale is the cycle that comparing pairs by whatever both know runs into:
// by steps A < B, by epochs B < C, and C < A.
func TestScale(t *testing.T) {
	a := Checkpoint{Name: "a", State: Committed, Progress: layout.Progress{GlobalStep: new(int64(5))}}
	b := Checkpoint{Name: "b", State: Committed, Progress: layout.Progress{Epoch: new(int64(1)), GlobalStep: new(int64(9))}}
	c := Checkpoint{Name: "c", State: Committed, Progress: layout.Progress{Epoch: new(int64(2)), GlobalStep: new(int64(3))}}
	d := Checkpoint{Name: "d", State: Committed, Progress: layout.Progress{Epoch: new(int64(1))}}
	if got := target([]Checkpoint{a, b, c}, Resolve([]Checkpoint{a, b, c}, Default()).Latest.Target); got != "b" {
		t.Errorf("with a global step each, latest/ = %q, want b", got)
	}
	if got := target([]Checkpoint{a, b, c, d}, Resolve([]Checkpoint{a, b, c, d}, Default()).Latest.Target); got != "c" {
		t.Errorf("with one that knows its epoch alone, latest/ = %q, want c", got)
	}
}

func TestByEpoch(t *testing.T) {
	tests := []struct {
		name string
		cs   []Checkpoint
		want map[int64]string // epoch → id
	}{
		{"an overwritten epoch stays reachable", []Checkpoint{
			last(2), last(1).but(state(History, "")), midEpoch(1, 8)},
			map[int64]string{1: "last_checkpoint@10", 2: "last_checkpoint@20"}},
		{"a committed one before an earlier version of the same progress", []Checkpoint{
			last(1).but(state(History, "")), best(1)},
			map[int64]string{1: "best_model@10"}},
		{"a name with numbers, then the resume order", []Checkpoint{
			best(1), last(1), recovery(2, 4), midEpoch(2, 4)},
			map[int64]string{1: "last_checkpoint@10", 2: "checkpoint_epoch2_step4@14"}},
		{"the later of two earlier versions", []Checkpoint{
			last(1).but(state(History, "")),
			last(1).but(state(History, "")).but(later).but(func(c *Checkpoint) { c.ID = "again" })},
			map[int64]string{1: "again"}},
		{"an epoch's end that has no step", []Checkpoint{
			midEpoch(1, 8), saved("epoch_1", layout.EpochEnd, 1, 0).but(func(c *Checkpoint) { c.Step = nil })},
			map[int64]string{1: "epoch_1@10"}},
		{"unknown, incomplete and deleted ones have no epoch", []Checkpoint{
			last(1).but(unknown), midEpoch(2, 4).but(state(Incomplete, "")), midEpoch(3, 4).but(state(Trash, ""))},
			map[int64]string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := map[int64]string{}
			for epoch, i := range Resolve(test.cs, Default()).ByEpoch {
				got[epoch] = test.cs[i].ID
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("by-epoch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestByStepPrefersCommitted(t *testing.T) {
	cs := []Checkpoint{midEpoch(1, 4).but(state(History, "")).but(later), recovery(1, 4)}
	if got := names(cs, Resolve(cs, Default()).ByStep); got[4] != "recovery_checkpoint" {
		t.Errorf("by-step/4 = %q, want the committed one", got[4])
	}
}

// TestExplain pins the words, for they are what a user decides by.
func TestExplain(t *testing.T) {
	progress, metric, narrow := Default(), Default(), Default()
	progress.Resume.Prefer = PreferProgress
	metric.Best = BestPolicy{Metric: "best_val_f1", Mode: ModeMax}
	narrow.Resume.Order = []layout.Kind{layout.Last}

	noLast := []Checkpoint{
		last(2).but(state(Incomplete, "training_state.pth is missing")).but(unknown),
		recovery(3, 4).but(state(Invalid, "pytorch_model.bin: cut short")),
		midEpoch(2, 8), midEpoch(3, 4), best(2),
	}
	steps := []Checkpoint{
		saved("model-10", layout.Final, 1, 0), saved("model-20", layout.Final, 2, 0),
	}
	for _, test := range []struct {
		name   string
		cs     []Checkpoint
		config Config
	}{
		{"enstack", enstackRun(), Default()},
		{"enstack-prefer-progress", enstackRun(), progress},
		{"enstack-order-last", enstackRun(), narrow},
		{"enstack-unknown-metric", enstackRun(), metric},
		{"messy", messyRun(), Default()},
		{"last-incomplete", noLast, Default()},
		{"last-incomplete-prefer-progress", noLast, progress},
		{"nothing-committed", noLast[:2], Default()},
		{"kind-not-in-order", steps, Default()},
		{"empty", nil, Default()},
	} {
		t.Run(test.name, func(t *testing.T) {
			golden(t, explain(test.cs, Resolve(test.cs, test.config)), "policy", "explain", test.name+".txt")
		})
	}
}

// The kind of a link to a checkpoint counts for the checkpoint, once.
func TestLinksToACheckpoint(t *testing.T) {
	linked := midEpoch(1, 4)
	linked.Also = []layout.Kind{layout.Best, layout.Last}
	cs := []Checkpoint{recovery(2, 4), midEpoch(2, 8), linked}
	v := Resolve(cs, Default())
	if got := target(cs, v.Resume.Target); got != linked.Name {
		t.Errorf("resume/ = %q", got)
	}
	if want := "last is the first kind in resume.order with a committed checkpoint: epoch 1 step 4"; v.Resume.Reason != want {
		t.Errorf("resume/ because %q, want %q", v.Resume.Reason, want)
	}
	if got := target(cs, v.Best.Target); got != linked.Name {
		t.Errorf("best/ = %q", got)
	}
	if got := target(cs, v.Latest.Target); got != "checkpoint_epoch2_step8" {
		t.Errorf("latest/ = %q", got)
	}
	keep := 1
	r := Retention{MidEpoch: Rule{KeepLast: &keep}}
	if ds := Retain(cs, Views{Latest: v.Latest, Resume: Resolution{Target: -1}, Best: Resolution{Target: -1}}, r, time.Now()); len(ds) != 3 {
		t.Errorf("%d decisions about three checkpoints", len(ds))
	}
}
