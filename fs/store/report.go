package store

import (
	"maps"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"ckptfs/layout"
	"ckptfs/policy"
)

// The reports are an interface that scripts rely on: fields are added, never
// changed. Unknown numbers are null.

// ListReport is `ls --json`.
type ListReport struct {
	Runs []RunList `json:"runs"`
}

// RunList is one run of a ListReport; its path is "." for the root.
type RunList struct {
	Path        string          `json:"path"`
	Layout      string          `json:"layout"`
	Checkpoints []CheckpointRow `json:"checkpoints"`
}

// CheckpointRow is one checkpoint, or one earlier, deleted or held-back version.
type CheckpointRow struct {
	Name        string       `json:"name"`
	Kind        layout.Kind  `json:"kind"`
	Epoch       *int64       `json:"epoch"`
	Step        *int64       `json:"step"`
	GlobalStep  *int64       `json:"global_step"`
	Size        int64        `json:"size"`
	State       policy.State `json:"state"`
	Version     string       `json:"version"`
	CommittedAt *time.Time   `json:"committed_at"`
	Views       []string     `json:"views"`
	Pinned      bool         `json:"pinned"`
	PinReason   string       `json:"pin_reason,omitempty"` // the user's word
	Saving      bool         `json:"saving"`               // a save of the name is under way
	InUse       bool         `json:"in_use"`               // somebody has it open
	Damaged     bool         `json:"damaged"`              // a verification has found it so
	Reason      string       `json:"reason"`
	AliasOf     string       `json:"alias_of,omitempty"` // the name that a link leads to

	// What the views go by, besides.
	Also     []layout.Kind      `json:"also,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	BestName string             `json:"best_name,omitempty"`
}

// StatusReport is `status --json`.
type StatusReport struct {
	Mountpoint  string       `json:"mountpoint"`
	Backing     string       `json:"backing"`
	PID         int          `json:"pid"`
	Passthrough bool         `json:"passthrough"`
	Runs        []RunStatus  `json:"runs"`
	Trash       SpaceUse     `json:"trash"`
	Quarantine  SpaceUse     `json:"quarantine"`
	Scrub       *ScrubStatus `json:"scrub"`        // null where nothing is scrubbed
	Unwatched   string       `json:"unwatched"`    // why changes from outside are found late; "" when they are not
	UnknownEnds int64        `json:"unknown_ends"` // files whose writer's fate could not be learned
	Hanging     []Hanging    `json:"hanging"`      // calls to the disk that do not return
	Commits     int64        `json:"commits"`
	Pruned      int64        `json:"pruned"`
}

// SpaceUse is what a private directory holds.
type SpaceUse struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// RunStatus is one run of a StatusReport.
type RunStatus struct {
	Path   string            `json:"path"`
	Layout string            `json:"layout"`
	Why    string            `json:"why"`
	Views  map[string]string `json:"views"` // view name → checkpoint name
	Saves  []SaveStatus      `json:"saves"`
	Policy string            `json:"policy"`
	Hints  []string          `json:"hints"`
}

// SaveStatus is one open save.
type SaveStatus struct {
	Name    string   `json:"name"`
	Writers int      `json:"writers"`
	Bytes   int64    `json:"bytes"`
	Missing []string `json:"missing"`
	State   string   `json:"state"`
}

// ExplainReport is `explain --json` of one run.
type ExplainReport struct {
	Path        string                 `json:"path"`
	Views       map[string]ExplainView `json:"views"`
	Checkpoints []ExplainCheckpoint    `json:"checkpoints"`
}

// ExplainView says why a view resolves as it does.
type ExplainView struct {
	Target  *string       `json:"target"`
	Reason  string        `json:"reason"`
	Skipped []ExplainSkip `json:"skipped"`
}

// ExplainSkip is a checkpoint that a view passed over.
type ExplainSkip struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// ExplainCheckpoint says why retention keeps or deletes a checkpoint.
type ExplainCheckpoint struct {
	Name    string        `json:"name"`
	Action  policy.Action `json:"action"`
	Reasons []string      `json:"reasons"`
}

// runsSorted lists the runs by path.
func (s *Store) runsSorted() []*run {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*run
	for _, r := range s.runs {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].path < out[j].path })
	return out
}

func (r *run) shown() string { return shownRun(r.path) }

func (r *run) layoutName() string {
	if r.layout() == nil {
		return ""
	}
	return r.layout().Name
}

// List reports the checkpoints of every run, by progress; all adds history,
// trash, quarantine and saves that are hidden behind a committed version.
func (s *Store) List(all bool) ListReport {
	s.compareAll()
	rep := ListReport{Runs: []RunList{}}
	for _, r := range s.runsSorted() {
		rv := s.candidates(r)
		rv.sort()
		rv.views = policy.Resolve(rv.candidates, s.policyOf(r))
		list := RunList{Path: r.shown(), Layout: r.layoutName(), Checkpoints: []CheckpointRow{}}
		views := s.viewsShowing(rv)
		for i, c := range rv.candidates {
			if c.State == policy.History && !all {
				continue
			}
			row := row(c, views[i])
			if c.Pinned {
				row.PinReason = s.pinReason(path.Join(r.path, c.Name))
			}
			if v := rv.versions[i]; s.damaged(v) {
				row.Damaged = true
				if s.earlier(v) {
					row.State = policy.History
				}
			}
			if row.State == policy.History && !all {
				continue
			}
			list.Checkpoints = append(list.Checkpoints, row)
		}
		list.Checkpoints = append(list.Checkpoints, s.aliasRows(r)...)
		if all {
			list.Checkpoints = append(list.Checkpoints, s.trashRows(r.path)...)
		}
		rep.Runs = append(rep.Runs, list)
	}
	return rep
}

func row(c policy.Checkpoint, views []string) CheckpointRow {
	if views == nil {
		views = []string{}
	}
	row := CheckpointRow{
		Name: c.Name, Kind: c.Kind, Epoch: c.Epoch, Step: c.Step, GlobalStep: c.GlobalStep,
		Size: c.Size, State: c.State, Version: c.ID, Views: views,
		Pinned: c.Pinned, Saving: c.Saving, InUse: c.InUse, Reason: c.Reason,
		Also: c.Also, Metrics: c.Metrics, BestName: c.BestName,
	}
	if !c.CommittedAt.IsZero() {
		at := c.CommittedAt
		row.CommittedAt = &at
	}
	if c.Saving && c.State == policy.Committed {
		row.Reason = "a save is under way; the views show the version before"
	}
	return row
}

// viewsShowing names the views that resolve to each candidate.
func (s *Store) viewsShowing(rv *runViews) [][]string {
	n := s.cfg.Views
	out := make([][]string, len(rv.candidates))
	for _, v := range []struct {
		name string
		res  policy.Resolution
	}{{n.Latest, rv.views.Latest}, {n.Resume, rv.views.Resume}, {n.Best, rv.views.Best}} {
		if i := v.res.Target; i >= 0 && v.name != "" {
			out[i] = append(out[i], v.name)
		}
	}
	for _, index := range []struct {
		name    string
		numbers map[int64]int
	}{{n.ByEpoch, rv.views.ByEpoch}, {n.ByStep, rv.views.ByStep}} {
		for _, number := range slices.Sorted(maps.Keys(index.numbers)) {
			if i := index.numbers[number]; index.name != "" {
				out[i] = append(out[i], path.Join(index.name, strconv.FormatInt(number, 10)))
			}
		}
	}
	return out
}

// earlier reports whether a version is one that was overwritten.
func (s *Store) earlier(v *Version) bool {
	rec := s.recordOf(v)
	if rec == nil {
		return true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return rec.committed != v
}

func (s *Store) trashRows(run string) (out []CheckpointRow) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.trash {
		if t.Run != run {
			continue
		}
		row := CheckpointRow{Name: t.Name, Size: t.Size, State: policy.Trash, Version: t.ID, Reason: t.Reason, Views: []string{}}
		if v := t.version; v != nil {
			at := v.CommittedAt
			row.Kind, row.Epoch, row.Step, row.GlobalStep = v.Kind, v.Progress.Epoch, v.Progress.Step, v.Progress.GlobalStep
			row.CommittedAt = &at
			if why := damageWords(v.Damage); why != "" {
				row.Damaged, row.Reason = true, Words([]string{row.Reason, why})
			}
		}
		out = append(out, row)
	}
	for _, h := range s.quarantine {
		if s.runOfHeld(h) == run {
			out = append(out, CheckpointRow{Name: h.Path, Size: h.Size, State: policy.Quarantine, Version: h.ID, Reason: h.Reason, Views: []string{}})
		}
	}
	return out
}

// Status reports what is going on.
func (s *Store) Status() StatusReport {
	rep := StatusReport{
		Mountpoint: s.opts.Mountpoint, PID: os.Getpid(), Runs: []RunStatus{}, Unwatched: s.unwatched(), Scrub: s.scrubStatus(),
		UnknownEnds: s.counters.UnknownEnds.Load(), Commits: s.counters.Commits.Load(), Pruned: s.counters.Pruned.Load(),
	}
	s.mu.RLock()
	for _, t := range s.trash {
		rep.Trash.Entries++
		rep.Trash.Bytes += t.Size
	}
	for _, h := range s.quarantine {
		rep.Quarantine.Entries++
		rep.Quarantine.Bytes += h.Size
	}
	s.mu.RUnlock()
	end := s.clock.Now().Add(statusPatience)
	left := func() time.Duration { return max(end.Sub(s.clock.Now()), runPatience) }
	free, known := patiently(s, left(), s.freeBytes) // once: what could be given back is a matter of all runs
	for _, r := range s.runsSorted() {
		rs, ok := patiently(s, left(), func() RunStatus { return s.statusOf(r, free) })
		ok = ok && known
		if !ok {
			rs = RunStatus{Path: r.shown(), Layout: r.layoutName(), Views: map[string]string{}, Saves: []SaveStatus{}, Hints: []string{notAnswering}}
		}
		rep.Runs = append(rep.Runs, rs)
	}
	waiting, _ := patiently(s, runPatience, s.waitingRuns)
	rep.Runs = append(rep.Runs, waiting...)
	rep.Hanging = s.attended.hanging()
	return rep
}

// How long status waits for all runs together to say how they stand, and for each
// when that is over.
const statusPatience, runPatience = 2 * time.Second, 50 * time.Millisecond

const notAnswering = "how the run stands is not known now: the disk does not answer, or the machine is very busy"

// freeBytes is what a save may take, with what would give way.
func (s *Store) freeBytes() int64 {
	st, err := s.Statfs()
	if err != nil {
		return 0
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// statusOf is how one run stands.
func (s *Store) statusOf(r *run, free int64) RunStatus {
	for _, choose := range []func(*policy.Index) int{(*policy.Index).Latest, (*policy.Index).Resume, (*policy.Index).Best} {
		s.chosen(r, choose) // so that what is named can be shown
	}
	cfg, rv := s.policyOf(r), s.candidates(r)
	rv.views = policy.Resolve(rv.candidates, cfg)
	rs := RunStatus{
		Path: r.shown(), Layout: r.layoutName(), Why: s.whyOf(r), Views: map[string]string{},
		Saves: s.saves(r), Policy: cfg.Retention.String(), Hints: s.hints(r, cfg, rv, free),
	}
	n := s.cfg.Views
	for name, res := range map[string]policy.Resolution{n.Latest: rv.views.Latest, n.Resume: rv.views.Resume, n.Best: rv.views.Best} {
		if res.Target >= 0 && name != "" {
			rs.Views[name] = rv.candidates[res.Target].Name
		}
	}
	return rs
}

func (s *Store) saves(r *run) []SaveStatus {
	out := []SaveStatus{}
	for _, rec := range s.savingIn(r) {
		var unjudged *save // not quiet for long enough: who asks wants to know now
		rec.mu.RLock()
		for _, sv := range rec.saves {
			st := SaveStatus{Name: rec.name, Missing: sv.lacks(), State: "open"}
			switch {
			case sv.sealed:
				st.State = "committing"
			case len(st.Missing) == 0:
				unjudged = sv
			}
			for _, d := range rec.drafts {
				if d.save == sv {
					st.Writers += len(d.handles)
				}
			}
			if st.Missing == nil {
				st.Missing = []string{}
			}
			st.Bytes = s.stagedBytes(sv.dir())
			out = append(out, st)
		}
		rec.mu.RUnlock()
		if unjudged != nil { // the last, since only that takes changes
			v := s.inspectSave(rec, unjudged)
			out[len(out)-1].Missing = append(out[len(out)-1].Missing, slices.Concat(v.report.Missing, v.report.Problems)...)
		}
	}
	slices.SortFunc(out, func(a, b SaveStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// stagedBytes is what a save takes of the disk by itself.
func (s *Store) stagedBytes(dir string) (n int64) {
	tree, err := s.walk(dir)
	if err != nil {
		return 0
	}
	for _, e := range tree {
		if e.st.IsRegular() && e.st.Nlink == 1 {
			n += e.st.Size
		}
	}
	return n
}

// Explain says for every run why its views resolve as they do, and why
// retention keeps or deletes each checkpoint.
func (s *Store) Explain() []ExplainReport {
	s.compareAll()
	out := []ExplainReport{}
	for _, r := range s.runsSorted() {
		cfg, rv := s.policyOf(r), s.candidates(r)
		rv.views = policy.Resolve(rv.candidates, cfg)
		rep := ExplainReport{Path: r.shown(), Views: map[string]ExplainView{}, Checkpoints: []ExplainCheckpoint{}}
		n := s.cfg.Views
		for name, res := range map[string]policy.Resolution{n.Latest: rv.views.Latest, n.Resume: rv.views.Resume, n.Best: rv.views.Best} {
			if name != "" {
				rep.Views[name] = explainView(rv, res)
			}
		}
		for _, d := range policy.Retain(rv.candidates, rv.views, cfg.Retention.On(s.diskSize()), s.clock.Now()) {
			rep.Checkpoints = append(rep.Checkpoints, ExplainCheckpoint{d.Name, d.Action, d.Reasons})
		}
		out = append(out, rep)
	}
	return out
}

func explainView(rv *runViews, res policy.Resolution) ExplainView {
	v := ExplainView{Reason: res.Reason, Skipped: []ExplainSkip{}}
	if res.Target >= 0 {
		name := rv.candidates[res.Target].Name
		v.Target = &name
	}
	for _, skip := range res.Skipped {
		v.Skipped = append(v.Skipped, ExplainSkip{skip.Name, skip.Reason})
	}
	return v
}
