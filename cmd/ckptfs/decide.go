package main

import (
	"path"
	"time"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

// pruning is `prune --json`.
type pruning struct {
	Decisions []decision `json:"decisions"`
	Freed     int64      `json:"freed"` // bytes; with --dry-run, that would be
}

// decision is one of a run, whose path is "." for the root.
type decision struct {
	Run string `json:"run"`
	policy.Decision
}

func (d decision) path() string { return path.Join(d.Run, d.Name) }

// label tells an earlier version from the checkpoint of the same name.
func (d decision) label() string {
	if d.State == policy.History {
		return d.path() + "@" + d.ID
	}
	return d.path()
}

// doomed is how many are to be deleted, or have been.
func (p pruning) doomed() (n int) {
	for _, d := range p.Decisions {
		if d.Action == policy.ActionDelete {
			n++
		}
	}
	return n
}

// decide says what becomes of each checkpoint at and below PATH, by which rules.
// Dry runs and real ones, mounted and not, all decide here.
func decide(src source, t target, opts pruneOptions, now time.Time) (pruning, policy.Retention, error) {
	cfg, err := src.Config()
	if err != nil {
		return pruning{}, policy.Retention{}, err
	}
	rules := cfg.Retention
	if opts.keepLast >= 0 {
		rules = policy.KeepLast(opts.keepLast)
	}
	rep, err := src.List()
	if err != nil {
		return pruning{}, rules, err
	}
	plan := pruning{Decisions: []decision{}}
	for _, r := range rep.Runs {
		if !t.holds(r.Path) {
			continue
		}
		checkpoints, views := candidates(r.Checkpoints, cfg.Views)
		ds := policy.Retain(checkpoints, views, rules, now)
		if err := policy.Refusal(ds); err != nil {
			return pruning{}, rules, refusedError("%s: %w", t.path(), err)
		}
		plan.Freed += policy.Reclaimable(ds)
		for _, d := range ds {
			plan.Decisions = append(plan.Decisions, decision{r.Path, d})
		}
	}
	return plan, rules, nil
}

// candidates are the rows of a report as the policy sees them. What has been
// deleted or held back already is no candidate.
func candidates(rows []store.CheckpointRow, names policy.ViewNames) ([]policy.Checkpoint, policy.Views) {
	none := policy.Resolution{Target: -1}
	views := policy.Views{Latest: none, Resume: none, Best: none}
	var list []policy.Checkpoint
	for _, row := range rows {
		if row.State == policy.Trash || row.State == policy.Quarantine {
			continue
		}
		for _, view := range row.Views {
			switch view {
			case names.Latest:
				views.Latest.Target = len(list)
			case names.Resume:
				views.Resume.Target = len(list)
			case names.Best:
				views.Best.Target = len(list)
			}
		}
		c := policy.Checkpoint{
			ID: row.Version, Name: row.Name, Kind: row.Kind, State: row.State, Reason: row.Reason,
			Size: row.Size, Pinned: row.Pinned, Saving: row.Saving, InUse: row.InUse,
		}
		c.Epoch, c.Step, c.GlobalStep = row.Epoch, row.Step, row.GlobalStep
		if row.CommittedAt != nil {
			c.CommittedAt = *row.CommittedAt
		}
		list = append(list, c)
	}
	return list, views
}
