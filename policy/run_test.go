package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ckptfs/layout"
)

var update = flag.Bool("update", false, "write the golden files of testdata/policy and testdata/config")

// start is when the runs of these tests began.
var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

const batches = 10 // per epoch, in all runs of these tests

// saved is a committed checkpoint of a run with 10 batches an epoch; step 0 is
// the end of the epoch. It was committed as many minutes after the start as
// it has global steps.
func saved(name string, kind layout.Kind, epoch, step int64) Checkpoint {
	global := (epoch-1)*batches + step
	if step == 0 {
		global = epoch * batches
	}
	return Checkpoint{
		ID:   fmt.Sprintf("%s@%d", name, global),
		Name: name,
		Kind: kind,
		Progress: layout.Progress{
			Epoch: new(epoch), Step: new(step), GlobalStep: new(global), BatchesPerEpoch: new(int64(batches)),
		},
		State:       Committed,
		CommittedAt: start.Add(time.Duration(global) * time.Minute),
		Size:        500e6,
	}
}

func midEpoch(epoch, step int64) Checkpoint {
	return saved(fmt.Sprintf("checkpoint_epoch%d_step%d", epoch, step), layout.MidEpoch, epoch, step)
}

func last(epoch int64) Checkpoint { return saved("last_checkpoint", layout.Last, epoch, 0) }
func best(epoch int64) Checkpoint { return saved("best_model", layout.Best, epoch, 0) }
func recovery(epoch, step int64) Checkpoint {
	return saved("recovery_checkpoint", layout.Recovery, epoch, step)
}

// but returns a copy of c that was changed.
func (c Checkpoint) but(change func(*Checkpoint)) Checkpoint {
	change(&c)
	return c
}

func state(s State, reason string) func(*Checkpoint) {
	return func(c *Checkpoint) { c.State, c.Reason = s, reason }
}

// unknown takes the progress away.
func unknown(c *Checkpoint) { c.Progress = layout.Progress{} }

// noGlobalStep leaves the epoch and the step, as a name gives them.
func noGlobalStep(c *Checkpoint) { c.GlobalStep, c.BatchesPerEpoch = nil, nil }

func later(c *Checkpoint) { c.CommittedAt = c.CommittedAt.Add(time.Second) }

// enstackRun is the run in testdata/runs/enstack: killed in its third epoch.
func enstackRun() []Checkpoint {
	return []Checkpoint{
		best(2),
		midEpoch(1, 4), midEpoch(1, 8), midEpoch(2, 4), midEpoch(2, 8), midEpoch(3, 4),
		last(2).but(later),
		recovery(3, 4).but(later),
	}
}

// messyRun has one of everything that can happen to a run.
func messyRun() []Checkpoint {
	return append(enstackRun(),
		last(1).but(state(History, "")),
		last(1).but(state(History, "")).but(func(c *Checkpoint) {
			c.ID, c.CommittedAt = "last_checkpoint@older", start
		}),
		midEpoch(1, 2).but(func(c *Checkpoint) { c.Pinned = true }),
		midEpoch(1, 6).but(func(c *Checkpoint) { c.InUse = true }),
		midEpoch(2, 2).but(func(c *Checkpoint) { c.Saving = true }),
		midEpoch(3, 8).but(state(Incomplete, "training_state.pth is missing")).but(noGlobalStep),
		midEpoch(2, 6).but(state(Trash, "")),
		midEpoch(2, 5).but(state(Quarantine, "its writer was killed by signal 9")),
		midEpoch(4, 2).but(state(Saving, "")).but(noGlobalStep),
		saved("swa_model", layout.EpochEnd, 3, 0).but(unknown).but(later),
		saved(".tmp_last_checkpoint_ab12cd34", layout.Temp, 9, 0),
	)
}

// golden compares got with a file below testdata, or writes it with -update.
func golden(t *testing.T, got string, path ...string) {
	t.Helper()
	file := filepath.Join(append([]string{"..", "testdata"}, path...)...)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("reading the golden file (go test ./policy -update writes it): %v", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// target is the name that a view resolves to, or "".
func target(cs []Checkpoint, i int) string {
	if i < 0 {
		return ""
	}
	return cs[i].Name
}

func names(cs []Checkpoint, index map[int64]int) map[int64]string {
	byNumber := map[int64]string{}
	for number, i := range index {
		byNumber[number] = cs[i].Name
	}
	return byNumber
}

// explain writes views as `ckptfs explain` does, for golden files.
func explain(cs []Checkpoint, v Views) string {
	var b strings.Builder
	for _, view := range []struct {
		name string
		Resolution
	}{{"latest", v.Latest}, {"resume", v.Resume}, {"best", v.Best}} {
		fmt.Fprintf(&b, "%s/ → %s\n    %s\n", view.name, target(cs, view.Target), view.Reason)
		for _, skip := range view.Skipped {
			fmt.Fprintf(&b, "    skipped %s: %s\n", skip.Name, skip.Reason)
		}
	}
	if _, _, hint := Behind(cs, v); hint != "" {
		fmt.Fprintf(&b, "hint: %s\n", hint)
	}
	return b.String()
}
