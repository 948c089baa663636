package fs_test

import (
	"bytes"
	"strings"
	"testing/fstest"

	"ckptfs/layout"
	"ckptfs/layout/format"
	"ckptfs/policy"
)

// views is what the views of a run resolve to; the policy decides, by what is
// committed. It is one of these: two may be equal in all that counts.
func (m *model) views(run *entry) map[string][]*entry {
	var cs []policy.Checkpoint
	var trees []*entry
	for _, name := range sortedKeys(run.names) {
		if r := run.names[name]; r.committed != nil {
			rep := m.inspect(r, r.committed.tree)
			cs = append(cs, policy.Checkpoint{Name: name, Kind: r.match.Kind, Progress: rep.Progress, State: policy.Committed})
			trees = append(trees, r.committed.tree)
		}
	}
	config, err := policy.Parse("model", nil)
	if err != nil {
		panic(err)
	}
	v := policy.Resolve(cs, config)
	out := map[string][]*entry{}
	for name, target := range map[string]int{"latest": v.Latest.Target, "resume": v.Resume.Target, "best": v.Best.Target} {
		if target < 0 {
			continue
		}
		for i, c := range cs {
			if i == target || c.Kind == cs[target].Kind && c.Progress.Compare(cs[target].Progress) == 0 ||
				name == "latest" && c.Progress.Compare(cs[target].Progress) == 0 {
				out[name] = append(out[name], trees[i])
			}
		}
	}
	return out
}

// whole reports whether the layout finds a checkpoint complete and valid.
func (m *model) whole(r *record, dir *entry) bool {
	rep := m.inspect(r, dir)
	return rep.Valid()
}

func (m *model) inspect(r *record, dir *entry) layout.Report {
	key := r.name + "\n" + show(dir)
	if rep, ok := inspected[key]; ok {
		return rep
	}
	files := fstest.MapFS{}
	dir.below("", func(rel string, e *entry) {
		if e.kind == 'f' {
			files[rel] = &fstest.MapFile{Data: e.data}
		}
	})
	rep, err := m.layout.Inspect(files, r.match)
	if err != nil {
		panic(err)
	}
	inspected[key] = rep
	return rep
}

var inspected = map[string]layout.Report{}

// proven reports whether a format proves a file whole that a process had open
// when it exited with 0.
func proven(name string, data []byte) bool {
	r := format.Check(name, bytes.NewReader(data), int64(len(data)))
	return r.Proven && r.Problem == ""
}

// within reports whether a directory of the life lies in a checkpoint, or is one.
func (m *model) within(rel string) bool {
	at, err := m.walk(0, rel+"/x")
	return err == nil && at.in != nil
}

// same compares the contents of two trees.
func same(a, b *entry) bool { return show(a) == show(b) }

// show names the content of a tree in a line.
func show(e *entry) string { return showBut(e, func(string) bool { return false }) }

func showBut(e *entry, leftOut func(rel string) bool) string {
	if e == nil {
		return "nothing"
	}
	var parts []string
	e.below("", func(rel string, e *entry) {
		switch {
		case e.kind != 'd' && leftOut(rel):
		case e.kind == 'f':
			parts = append(parts, rel+"="+nameOf(e.data))
		case e.kind == 'l':
			parts = append(parts, rel+"->"+string(e.data))
		case rel != "":
			parts = append(parts, rel+"/")
		}
	})
	return "{" + strings.Join(parts, " ") + "}"
}

func showAll(list []*entry) string {
	var parts []string
	for _, e := range list {
		parts = append(parts, show(e))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
