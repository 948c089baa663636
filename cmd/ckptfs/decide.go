package main

import (
	"path"
	"path/filepath"
	"time"

	"ckptfs/fs/store"
	"ckptfs/layout"
	"ckptfs/policy"
)

// pruning is `prune --json`.
type pruning struct {
	Decisions []decision `json:"decisions"`
	Freed     int64      `json:"freed"` // bytes; with --dry-run, that would be

	rules []string // of each run that has checkpoints, in words
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
func decide(src source, t target, opts pruneOptions, now time.Time) (pruning, error) {
	cfg, err := src.Config()
	if err != nil {
		return pruning{}, err
	}
	rep, err := src.List()
	if err != nil {
		return pruning{}, err
	}
	sp, err := spaceOf(t.root)
	if err != nil {
		return pruning{}, err
	}
	plan := pruning{Decisions: []decision{}}
	for _, r := range rep.Runs {
		if !t.holds(r.Path) {
			continue
		}
		l, _ := layout.ByName(cfg.AllLayouts(), r.Layout) // nil where there is none
		of := cfg.For(r.Path, l)
		rules := of.Retention.On(sp.Total)
		if opts.keepLast >= 0 {
			rules = policy.KeepLast(opts.keepLast)
		}
		checkpoints := candidates(r.Checkpoints)
		ds := policy.Retain(checkpoints, policy.Resolve(checkpoints, of), rules, now)
		if err := policy.Refusal(ds); err != nil {
			return pruning{}, refusedError("%s: %w", filepath.Join(t.root, r.Path), err)
		}
		plan.Freed += policy.Reclaimable(ds)
		for _, d := range ds {
			plan.Decisions = append(plan.Decisions, decision{r.Path, d})
		}
		if len(ds) > 0 {
			plan.rules = append(plan.rules, rules.String())
		}
	}
	if len(plan.rules) == 0 {
		plan.rules = []string{cfg.Retention.String()}
	}
	return plan, nil
}

// candidates are the rows of a report as the policy sees them. What has been
// deleted or held back already is no candidate, nor is a link to one.
func candidates(rows []store.CheckpointRow) (list []policy.Checkpoint) {
	for _, row := range rows {
		switch row.State {
		case policy.Trash, policy.Quarantine, policy.Alias:
			continue
		}
		c := policy.Checkpoint{
			ID: row.Version, Name: row.Name, Kind: row.Kind, State: row.State, Reason: row.Reason,
			Size: row.Size, Pinned: row.Pinned, Saving: row.Saving, InUse: row.InUse,
			Also: row.Also, Metrics: row.Metrics, BestName: row.BestName,
		}
		if row.Damaged { // an earlier version too: no rule counts it, and none deletes it
			c.State = policy.Invalid
		}
		c.Epoch, c.Step, c.GlobalStep = row.Epoch, row.Step, row.GlobalStep
		if row.CommittedAt != nil {
			c.CommittedAt = *row.CommittedAt
		}
		list = append(list, c)
	}
	return list
}
