package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ckptfs/fs/store"
	"ckptfs/layout"
	"ckptfs/policy"
)

// pruneSource answers from a report, and refuses to delete what is open.
type pruneSource struct {
	source
	list    store.ListReport
	cfg     policy.Config
	open    map[string]bool
	deleted []string
}

func (s *pruneSource) List() (store.ListReport, error) { return s.list, nil }
func (s *pruneSource) Config() (policy.Config, error)  { return s.cfg, nil }

func (s *pruneSource) Delete(path, version, _ string) error {
	if s.open[path] {
		return refusedError("%s is open", path)
	}
	s.deleted = append(s.deleted, path+"@"+version)
	return nil
}

func row(name string, kind layout.Kind, epoch, step int64, views ...string) store.CheckpointRow {
	committed := time.Unix(1700000000+epoch*1000+step, 0)
	return store.CheckpointRow{
		Name: name, Kind: kind, Epoch: &epoch, Step: &step, Size: 100, State: policy.Committed,
		Version: "v-" + name, CommittedAt: &committed, Views: views,
	}
}

func twoRuns() *pruneSource {
	rows := []store.CheckpointRow{
		row("last_checkpoint", layout.Last, 2, 0, "resume"),
		row("checkpoint_epoch1_step4", layout.MidEpoch, 1, 4),
		row("checkpoint_epoch2_step4", layout.MidEpoch, 2, 4),
		row("checkpoint_epoch3_step4", layout.MidEpoch, 3, 4, "latest"),
	}
	return &pruneSource{cfg: policy.Default(), list: store.ListReport{Runs: []store.RunList{
		{Path: "codebert", Checkpoints: rows}, {Path: "unixcoder", Checkpoints: rows},
	}}}
}

func (p pruning) actions() map[string]policy.Action {
	out := map[string]policy.Action{}
	for _, d := range p.Decisions {
		out[d.path()] = d.Action
	}
	return out
}

func TestDecide(t *testing.T) {
	now := time.Unix(1800000000, 0)
	tests := []struct {
		name     string
		sub      string
		keepLast int
		change   func(*pruneSource)
		want     []string // deleted
	}{
		{"the policy has no rule", ".", -1, nil, nil},
		{"by the policy", "codebert", -1, func(s *pruneSource) { s.cfg.Retention = policy.KeepLast(2) }, []string{"codebert/checkpoint_epoch1_step4"}},
		{"what a view shows stays", "codebert", 0, nil, []string{"codebert/checkpoint_epoch1_step4", "codebert/checkpoint_epoch2_step4"}},
		{"every run below", ".", 1, nil, []string{
			"codebert/checkpoint_epoch1_step4", "codebert/checkpoint_epoch2_step4",
			"unixcoder/checkpoint_epoch1_step4", "unixcoder/checkpoint_epoch2_step4",
		}},
		{"pinned", "codebert", 0, func(s *pruneSource) { s.list.Runs[0].Checkpoints[1].Pinned = true }, []string{"codebert/checkpoint_epoch2_step4"}},
		{"open", "codebert", 0, func(s *pruneSource) { s.list.Runs[0].Checkpoints[1].InUse = true }, []string{"codebert/checkpoint_epoch2_step4"}},
		{"being saved", "codebert", 0, func(s *pruneSource) { s.list.Runs[0].Checkpoints[1].Saving = true }, []string{"codebert/checkpoint_epoch2_step4"}},
		{"deleted already", "codebert", 0, func(s *pruneSource) { s.list.Runs[0].Checkpoints[1].State = policy.Trash }, []string{"codebert/checkpoint_epoch2_step4"}},
		{"not whole", "codebert", 0, func(s *pruneSource) { s.list.Runs[0].Checkpoints[1].State = policy.Invalid }, []string{"codebert/checkpoint_epoch2_step4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := twoRuns()
			if tt.change != nil {
				tt.change(src)
			}
			plan, err := decide(src, target{root: t.TempDir(), sub: tt.sub}, pruneOptions{keepLast: tt.keepLast}, now)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range plan.Decisions {
				if d.Action == policy.ActionDelete {
					got = append(got, d.path())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("deleted, -want +got:\n%s", diff)
			}
			if want := int64(100 * len(tt.want)); plan.Freed != want {
				t.Errorf("freed %d, want %d", plan.Freed, want)
			}
		})
	}
}

// TestDeleteAllKeepsWhatIsOpen: what was opened after the decision is kept, and
// counted as kept.
func TestDeleteAllKeepsWhatIsOpen(t *testing.T) {
	src := twoRuns()
	src.open = map[string]bool{"codebert/checkpoint_epoch1_step4": true}
	plan, err := decide(src, target{root: t.TempDir(), sub: "codebert"}, pruneOptions{keepLast: 0}, time.Unix(1800000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.deleteAll(t.Context(), src, t.Output()); exitCode(err) != exitRefused {
		t.Errorf("error %v, want a refusal", err)
	}
	if diff := cmp.Diff([]string{"codebert/checkpoint_epoch2_step4@v-checkpoint_epoch2_step4"}, src.deleted); diff != "" {
		t.Errorf("deleted, -want +got:\n%s", diff)
	}
	if got := plan.actions()["codebert/checkpoint_epoch1_step4"]; got != policy.ActionKeep {
		t.Errorf("the open one is reported as %s", got)
	}
	if plan.Freed != 100 {
		t.Errorf("freed %d, want 100", plan.Freed)
	}
}

// P6: an earlier version that is damaged is not one of those that a rule keeps, and
// none deletes it.
func TestDecideLeavesDamageAlone(t *testing.T) {
	earlier := func(version string, step int64, damaged bool) store.CheckpointRow {
		r := row("last_checkpoint", layout.Last, 1, step)
		r.State, r.Version, r.Damaged = policy.History, version, damaged
		return r
	}
	src := &pruneSource{cfg: policy.Default(), list: store.ListReport{Runs: []store.RunList{{Path: ".", Checkpoints: []store.CheckpointRow{
		row("last_checkpoint", layout.Last, 2, 0, "latest", "resume"),
		earlier("v3", 3, true), earlier("v2", 2, false), earlier("v1", 1, false),
	}}}}}
	src.cfg.Retention.History.KeepLast = new(1)
	plan, err := decide(src, target{root: t.TempDir(), sub: "."}, pruneOptions{keepLast: -1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]policy.Action{}
	for _, d := range plan.Decisions {
		got[d.ID] = d.Action
	}
	want := map[string]policy.Action{
		"v-last_checkpoint": policy.ActionKeep, "v3": policy.ActionSkip, "v2": policy.ActionKeep, "v1": policy.ActionDelete,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
