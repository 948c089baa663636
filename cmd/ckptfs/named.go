package main

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

// namedCheckpoint is what a NAME means: a checkpoint's name in a run.
type namedCheckpoint struct {
	run  string // as in the reports: "." for the root
	name string
	rows []store.CheckpointRow // its versions: what is live, the history, the trash
}

// path is that of the name, relative to the root.
func (n namedCheckpoint) path() string { return path.Join(n.run, n.name) }

// given is the name as it is said of a PATH.
func (n namedCheckpoint) given(t target) string {
	if rel, below := strings.CutPrefix(n.path(), t.sub+"/"); below {
		return rel
	}
	return n.path()
}

// live is the row of what lies under the name; nil when there is nothing.
func (n namedCheckpoint) live() *store.CheckpointRow {
	for i := range n.rows {
		if !earlierState(n.rows[i].State) {
			return &n.rows[i]
		}
	}
	return nil
}

// earlierState reports whether a row is of a version that was replaced or deleted.
func earlierState(s policy.State) bool { return s == policy.History || s == policy.Trash }

// earlier lists the versions that were replaced or deleted, the newest first.
func (n namedCheckpoint) earlier() []store.CheckpointRow {
	rows := slices.DeleteFunc(slices.Clone(n.rows), func(r store.CheckpointRow) bool { return !earlierState(r.State) })
	slices.SortStableFunc(rows, func(a, b store.CheckpointRow) int { return committedAt(b).Compare(committedAt(a)) })
	return rows
}

func committedAt(r store.CheckpointRow) time.Time {
	if r.CommittedAt == nil {
		return time.Time{}
	}
	return *r.CommittedAt
}

// findNamed finds what NAME means in the run at PATH: a checkpoint, or a view,
// which means the checkpoint that it resolves to. Where PATH holds several runs,
// NAME begins with the one that is meant.
func findNamed(src source, t target, name string) (namedCheckpoint, error) {
	rep, err := src.List()
	if err != nil {
		return namedCheckpoint{}, err
	}
	trash, err := src.Trash()
	if err != nil {
		return namedCheckpoint{}, err
	}
	p := path.Join(t.sub, strings.TrimSuffix(name, "/"))
	for _, find := range []func(run store.RunList, rel string) string{nameOf, viewTarget} {
		for _, r := range rep.Runs {
			rel, below := strings.CutPrefix("/"+p, strings.TrimSuffix("/"+r.Path, "/.")+"/")
			if !below {
				continue
			}
			if found := find(r, rel); found != "" {
				return gather(r, found, trash), nil
			}
		}
	}
	// What was deleted with its run is in the trash only.
	run, base := path.Split(p)
	run = path.Clean(run)
	if n := gather(store.RunList{Path: run}, base, trash); len(n.rows) > 0 {
		return n, nil
	}
	return namedCheckpoint{}, nothingError("%s has no checkpoint and no view called %q; see ckptfs ls --all %s", t.given(), name, t.given())
}

// nameOf is a checkpoint's own name, also by a link to it.
func nameOf(r store.RunList, rel string) string {
	for _, c := range r.Checkpoints {
		if c.Name == rel && c.State != policy.Quarantine {
			return cmp.Or(c.AliasOf, rel)
		}
	}
	return ""
}

// viewTarget is the name of the checkpoint that a view leads to.
func viewTarget(r store.RunList, rel string) string {
	for _, c := range r.Checkpoints {
		if c.State == policy.Committed && slices.Contains(c.Views, strings.TrimPrefix(rel, "@")) {
			return c.Name
		}
	}
	return ""
}

// gather collects the versions of a name.
func gather(r store.RunList, name string, trash store.TrashReport) namedCheckpoint {
	n := namedCheckpoint{run: r.Path, name: name, rows: []store.CheckpointRow{}}
	for _, c := range r.Checkpoints {
		if c.Name == name && c.State != policy.Trash && c.State != policy.Quarantine {
			n.rows = append(n.rows, c)
		}
	}
	for _, t := range trash.Trash {
		if t.Run == r.Path && t.Name == name {
			n.rows = append(n.rows, deletedRow(t))
		}
	}
	return n
}

// deletedRow is an entry of the trash as a row of ls.
func deletedRow(t store.TrashRow) store.CheckpointRow {
	return store.CheckpointRow{
		Name: t.Name, Kind: t.Kind, Epoch: t.Epoch, Step: t.Step, GlobalStep: t.GlobalStep, Size: t.Size, State: policy.Trash,
		Version: t.Version, CommittedAt: t.CommittedAt, Views: []string{}, InUse: t.InUse, Reason: t.Reason,
	}
}

// splitVersion takes the version from NAME@VERSION; "" where there is none. A view
// may begin with the sign.
func splitVersion(arg string) (name, version string) {
	if i := strings.LastIndexByte(arg, '@'); i > 0 && arg[i-1] != '/' {
		return arg[:i], arg[i+1:]
	}
	return arg, ""
}

// pick finds a version among rows by its id, or by the beginning of it that no
// other has.
func pick(rows []store.CheckpointRow, version string) (*store.CheckpointRow, error) {
	var found *store.CheckpointRow
	for i := range rows {
		switch r := &rows[i]; {
		case r.Version == version:
			return r, nil
		case !strings.HasPrefix(r.Version, version):
		case found != nil:
			return nil, usageError("several versions begin with %q: %s, %s", version, found.Version, r.Version)
		default:
			found = r
		}
	}
	return found, nil
}
