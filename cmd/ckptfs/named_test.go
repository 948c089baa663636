package main

import (
	"strings"
	"testing"
	"time"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

// listed is a source that knows lists, and nothing else.
type listed struct {
	source
	list  store.ListReport
	trash store.TrashReport
}

func (l listed) List() (store.ListReport, error)   { return l.list, nil }
func (l listed) Trash() (store.TrashReport, error) { return l.trash, nil }

func TestFindNamed(t *testing.T) {
	committed := func(name, version string, views ...string) store.CheckpointRow {
		return store.CheckpointRow{Name: name, Version: version, State: policy.Committed, Views: views}
	}
	src := listed{
		list: store.ListReport{Runs: []store.RunList{
			{Path: ".", Checkpoints: []store.CheckpointRow{
				committed("best_model", "1", "best"),
				committed("resume", "2"), // a checkpoint of a view's name goes first
				committed("last_checkpoint", "4", "resume", "by-epoch/2"),
				{Name: "last_checkpoint", Version: "3", State: policy.History, Views: []string{"by-epoch/1"}},
				{Name: "newest", State: policy.Alias, AliasOf: "last_checkpoint"},
				{Name: "a@b", Version: "5", State: policy.Committed},
				{Name: "last_checkpoint/config.json", State: policy.Quarantine},
			}},
			{Path: "runs/a", Checkpoints: []store.CheckpointRow{committed("best_model", "6", "best", "latest")}},
		}},
		trash: store.TrashReport{Trash: []store.TrashRow{
			{Run: ".", Name: "last_checkpoint", Version: "2", Reason: "deleted"},
			{Run: "runs/gone", Name: "best_model", Version: "7"},
		}},
	}
	root := target{root: "/r", sub: "."}
	for _, c := range []struct {
		at      target
		name    string
		want    string // the path, and the versions
		version string
	}{
		{root, "best_model", "best_model 1", ""},
		{root, "best", "best_model 1", ""},
		{root, "@best/", "best_model 1", ""},
		{root, "resume", "resume 2", ""},
		{root, "@resume", "last_checkpoint 4 3 2", ""},
		{root, "by-epoch/2", "last_checkpoint 4 3 2", ""},
		{root, "by-epoch/1", "", ""}, // what shows it is not the live one
		{root, "newest", "last_checkpoint 4 3 2", ""},
		{root, "last_checkpoint@3", "last_checkpoint 4 3 2", "3"},
		{root, "a@b", "a@b 5", ""},
		{root, "a@b@5", "a@b 5", "5"},
		{root, "runs/a/best", "runs/a/best_model 6", ""},
		{target{root: "/r", sub: "runs/a"}, "latest", "runs/a/best_model 6", ""},
		{target{root: "/r", sub: "runs"}, "a/best_model", "runs/a/best_model 6", ""},
		{target{root: "/r", sub: "runs"}, "gone/best_model", "runs/gone/best_model 7", ""},
		{root, "last_checkpoint/config.json", "", ""},
		{root, "nowhere", "", ""},
		{root, "nowhere@3", "", "3"},
		{target{root: "/r", sub: "runs"}, "best_model", "", ""},
	} {
		n, version, err := findVersioned(src, c.at, c.name)
		got := ""
		if err == nil {
			got = n.path()
			for _, r := range n.rows {
				got += " " + r.Version
			}
		} else if exitCode(err) != exitNothing {
			t.Errorf("%s: %v", c.name, err)
		}
		if got != c.want || version != c.version {
			t.Errorf("%s in %s is %q, version %q, %v; want %q, %q", c.name, c.at.path(), got, version, err, c.want, c.version)
		}
	}
}

func TestPick(t *testing.T) {
	rows := []store.CheckpointRow{{Version: "2026-a"}, {Version: "2026-ab"}, {Version: "2027"}}
	for version, want := range map[string]string{"2026-a": "2026-a", "2026-ab": "2026-ab", "2027": "2027", "2": "several", "2026": "several", "3": ""} {
		got, err := pick(rows, version)
		switch {
		case want == "several":
			if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "several versions begin with") {
				t.Errorf("%s: %v", version, err)
			}
		case err != nil || (got == nil) != (want == "") || got != nil && got.Version != want:
			t.Errorf("%s: %v, %v", version, got, err)
		}
	}
}

func TestSumLine(t *testing.T) {
	for name, want := range map[string]string{
		"model.bin":  "00  model.bin\n",
		"a b/c":      "00  a b/c\n",
		"a\\b\nc\rd": "\\00  a\\\\b\\nc\\rd\n",
	} {
		if got := sumLine("00", name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	p := &progressBar{what: "Copying best_model"}
	for _, c := range []struct {
		done, total int64
		since       time.Duration
		width       int
		want        string
	}{
		{0, 100 << 20, 0, 60, "Copying best_model [                ]   0 %  0 B of 100 MiB"},
		{50 << 20, 100 << 20, 2 * time.Second, 80, "Copying best_model [#######       ]  50 %  50 MiB of 100 MiB  25 MiB/s  2s left"},
		{100 << 20, 100 << 20, 2 * time.Second, 40, "Copying best_model 100 %  100 MiB of 100 MiB  50 MiB/s  0s left"},
		{0, 0, 0, 20, "Copying best_model 100 %  0 B of 0 B"},
	} {
		if got := p.line(c.done, c.total, c.since, c.width); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.total, got, c.want)
		}
	}
}

func TestUsageChart(t *testing.T) {
	rep := store.UsageReport{Runs: []store.RunUsage{{Path: ".", Kinds: []store.KindUsage{
		{Kind: "last", Usage: store.Usage{Committed: 10 << 20, History: 10 << 20}},
		{Kind: "", Usage: store.Usage{Staging: 5 << 20}},
	}}}}
	shown := []part{parts[0], parts[2], parts[4], parts[6]}
	want := `
# committed, h history, s staging
last     ##########hhhhhhhhhh  20 MiB
unknown  sssss  5.0 MiB
`
	if got := usageChart(rep, shown, 41, false); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := usageChart(rep, shown, 41, true); !strings.Contains(got, "\x1b[36m██████████\x1b[0m  20 MiB") {
		t.Errorf("on a terminal:\n%q", got)
	}
	if got := usageChart(store.UsageReport{}, shown, 41, false); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
