package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ckptfs/layout"
)

func TestParseFull(t *testing.T) {
	file := filepath.Join("..", "testdata", "config", "full.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(file, data)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Layout: "auto",
		Views: ViewNames{
			Latest: "newest", Resume: "resume", Best: "", ByEpoch: "epochs", ByStep: "by-step",
			Listed: "never", Style: "symlink",
		},
		Resume: ResumePolicy{Order: []layout.Kind{layout.Recovery, layout.Last, layout.Step}, Prefer: PreferProgress},
		Best:   BestPolicy{Metric: "val/loss", Mode: ModeMin},
		Save:   SavePolicy{Settle: 1500 * time.Millisecond, Durability: "close", IncompleteTTL: 48 * time.Hour},
		Retention: Retention{
			MidEpoch:    Rule{KeepLast: new(2), KeepEverySteps: 5000, MaxAge: 7 * 24 * time.Hour, When: WhenAlways},
			EpochEnd:    Rule{KeepLast: new(3), KeepEvery: 10},
			Best:        Rule{KeepLast: new(0)},
			MaxTotal:    Share{Bytes: 50e9},
			MinFree:     Share{Bytes: 5 << 30},
			TrashTTL:    90 * time.Minute,
			ProtectLast: false,
			DryRun:      true,
		},
		Scrub: 30 * 24 * time.Hour,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

// TestDefault: what says nothing is the default, and init --print shows it.
func TestDefault(t *testing.T) {
	golden(t, string(Default().YAML()), "config", "default.yaml")
	for _, data := range []string{
		"", "# nothing\n", "---\n", "retention:\n", "retention:\n  mid_epoch:\n", "views: {latest: }", "best: {metric: null}",
		string(Default().YAML()),
	} {
		got, err := Parse("f", []byte(data))
		if err != nil {
			t.Errorf("Parse(%q): %v", data, err)
		} else if diff := cmp.Diff(Default(), got); diff != "" {
			t.Errorf("Parse(%q) is not the default (-want +got):\n%s", data, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"misspelt section", "layout: auto\n\nretntion: {}", `f.yaml:3: unknown key "retntion"; did you mean "retention"?`},
		{"misspelt key", "retention:\n  mid_epoch:\n    keeplast: 2",
			`f.yaml:3: unknown key "keeplast" in retention.mid_epoch; did you mean "keep_last"?`},
		{"underscore for a dash", "views: {by_epoch: e}", `f.yaml:1: unknown key "by_epoch" in views; did you mean "by-epoch"?`},
		{"key of another kind", "retention:\n  best: {keep_last: 1}", `f.yaml:2: unknown key "keep_last" in retention.best; the keys here are keep`},
		{"nothing near", "colour: red", `f.yaml:1: unknown key "colour"; the keys here are layout, layouts, views, resume, best, save, retention, scrub, runs`},
		{"merge key", "save: &s {settle: 1s}\nretention: {<<: *s}",
			`f.yaml:2: unknown key "<<" in retention; the keys here are mid_epoch, step, epoch_end, best, history, max_total, min_free, trash_ttl, trash_max_total, protect_last, dry_run`},
		{"twice", "layout: auto\nlayout: enstack", `f.yaml:2: layout is given twice, first on line 1`},
		{"section is a word", "save: 1s", `f.yaml:1: save holds the keys settle, durability, incomplete_ttl, not "1s"`},
		{"file is a list", "- a", `f.yaml:1: the file holds the keys layout, layouts, views, resume, best, save, retention, scrub, runs, not a list`},
		{"word is a section", "layout: {name: x}", `f.yaml:1: layout takes one value, not a mapping`},
		{"word is an alias", "best: {metric: &m f1, mode: *m}", `f.yaml:1: best.mode takes one value, not an alias`},
		{"list is a word", "resume: {order: last}", `f.yaml:1: resume.order takes a list, such as [a, b], not "last"`},
		{"list in a list", "resume: {order: [[last]]}", `f.yaml:1: resume.order takes a list, such as [a, b], not a list`},
		{"empty list", "resume: {order: []}", `f.yaml:1: resume.order: the list is empty; write at least one of last, recovery, mid_epoch, epoch_end, step, best, final, backup`},
		{"unknown kind", "resume: {order: [last, newest]}",
			`f.yaml:1: resume.order: "newest" is not a kind of checkpoint; the kinds are last, recovery, mid_epoch, epoch_end, step, best, final, backup`},
		{"kind twice", "resume: {order: [last, best, last]}", `f.yaml:1: resume.order: "last" is there twice`},
		{"unknown word", "resume: {prefer: newest}", `f.yaml:1: resume.prefer: "newest" is not one of priority, progress`},
		{"yes is no boolean", "retention: {dry_run: yes}", `f.yaml:1: retention.dry_run: "yes" is not true or false`},
		{"negative count", "retention: {history: {keep_last: -1}}", `f.yaml:1: retention.history.keep_last: "-1" is not a number of checkpoints; write 0 or more`},
		{"zero interval", "retention: {epoch_end: {keep_every: 0}}",
			`f.yaml:1: retention.epoch_end.keep_every: "0" is not an interval; write a whole number of 1 or more, or leave the key out`},
		{"duration without a unit", "save: {settle: 5}",
			`f.yaml:1: save.settle: "5" is not a duration; write a number and a unit, such as 500ms, 10m, 24h, 7d or 2w`},
		{"negative duration", "save: {settle: -5s}",
			`f.yaml:1: save.settle: "-5s" is not a duration; write a number and a unit, such as 500ms, 10m, 24h, 7d or 2w`},
		{"age of nothing", "retention: {mid_epoch: {max_age: 0s}}",
			`f.yaml:1: retention.mid_epoch.max_age: "0s" would keep nothing; leave the key out for no limit`},
		{"scrubbing without a break", "scrub: 1m", `f.yaml:1: scrub: "1m" is less than 1h; write more, or leave the key out for never`},
		{"size without sense", "retention: {max_total: lots}",
			`f.yaml:1: retention.max_total: "lots" is not a size; write a number and a unit, such as 500MB, 50GB or 1.5TiB`},
		{"size over 8 EiB", "retention: {max_total: 10EB}",
			`f.yaml:1: retention.max_total: "10EB" is not a size; write a number and a unit, such as 500MB, 50GB or 1.5TiB`},
		{"more than the disk", "retention: {min_free: 100%}",
			`f.yaml:1: retention.min_free: "100%" is not a part of the disk; write 0% or more and less than 100%, or a size such as 5GB`},
		{"neither size nor part", "retention: {min_free: half}",
			`f.yaml:1: retention.min_free: "half" is not a size; write a number and a unit, such as 500MB, 50GB or 1.5TiB`},
		{"view with a slash", "views:\n  latest: a/b", `f.yaml:2: views.latest: "a/b" is not a file name; write one without a slash, or "" to hide the view`},
		{"view is the parent", "views: {best: ..}", `f.yaml:1: views.best: ".." is not a file name; write one without a slash, or "" to hide the view`},
		{"view is ours", "views: {best: .ckptfs}", `f.yaml:1: views.best: ".ckptfs" is where ckptfs keeps its own state; choose another name`},
		{"view looks shadowed", `views: {best: "@latest"}`, `f.yaml:1: views.best: "@latest" begins with @, as a view does that a real entry hides; choose another name`},
		{"views of one name", "views:\n  best: x\n  latest: x", `f.yaml:3: views.latest and views.best are both named "x"; every view needs a name of its own`},
		{"view named as a default", "views:\n  best: latest", `f.yaml:2: views.latest and views.best are both named "latest"; every view needs a name of its own`},
		{"no runs", "runs: [a]", `f.yaml:1: runs holds paths of runs, each with the keys that differ there, not a list`},
		{"runs elsewhere", "runs:\n  /a: {}", `f.yaml:2: runs: "/a" is no path of a run below the mounted directory, such as codebert, sweep/* or **/trial-*`},
		{"runs twice", "runs:\n  a: {}\n  a: {}", `f.yaml:3: runs: "a" is given twice`},
		{"a key of the disk for a run", "runs:\n  a:\n    retention: {min_free: 5GB}",
			`f.yaml:3: unknown key "min_free" in runs.a.retention; the keys here are mid_epoch, step, epoch_end, best, history, max_total, dry_run`},
		{"a section of all for a run", "runs: {a: {save: {settle: 1s}}}", `f.yaml:1: unknown key "save" in runs.a; the keys here are resume, best, retention`},
		{"no YAML", "save:\n\tsettle: 1s", `f.yaml:2: found character that cannot start any token`},
		{"two documents", "layout: auto\n---\nlayout: auto", `f.yaml:2: a second YAML document begins here; put everything into one`},
		{"no YAML in a second document", "layout: auto\n---\n{", `f.yaml:3: did not find expected node content`},
		{"unknown anchor", "layout: *x", `f.yaml: unknown anchor 'x' referenced`},
		{"a section called null", "save: !!null {settle: 1s, settle2: 1s}", `f.yaml:1: unknown key "settle2" in save; did you mean "settle"?`},
		{"everything wrong is told at once", "a: 1\nsave: {settle: x, b: 2}",
			`f.yaml:1: unknown key "a"; the keys here are layout, layouts, views, resume, best, save, retention, scrub, runs` + "\n" +
				`f.yaml:2: save.settle: "x" is not a duration; write a number and a unit, such as 500ms, 10m, 24h, 7d or 2w` + "\n" +
				`f.yaml:2: unknown key "b" in save; the keys here are settle, durability, incomplete_ttl`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(test.data))
			if err == nil {
				t.Fatalf("accepted; want %q", test.want)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseUnknownLayout(t *testing.T) {
	_, err := Parse("f.yaml", []byte("\nlayout: enstac"))
	if err == nil || !strings.HasPrefix(err.Error(), `f.yaml:2: layout: no layout is called "enstac"; there are: `) {
		t.Errorf("error = %v, want one that names the layouts", err)
	}
}

// TestViewsSwapped: names are compared after the whole file is read.
func TestViewsSwapped(t *testing.T) {
	c, err := Parse("f", []byte(`views: {latest: resume, resume: latest, best: "", by-step: ""}`))
	if err != nil || c.Views.Latest != "resume" || c.Views.Resume != "latest" {
		t.Errorf("Parse = %+v, %v", c.Views, err)
	}
}

// config draws anything that Parse can give.
var config = rapid.Custom(func(t *rapid.T) Config {
	word := func(label string, words ...string) string { return rapid.SampledFrom(words).Draw(t, label) }
	limit := func(label string) *int { return rapid.Ptr(rapid.IntRange(0, 1<<40), true).Draw(t, label) }
	span := func(label string) time.Duration { return time.Duration(rapid.Int64Min(0).Draw(t, label)) }
	view := func(prefix string) string {
		if rapid.Bool().Draw(t, "hidden") {
			return ""
		}
		return prefix + strings.NewReplacer("/", "", "\x00", "").Replace(rapid.StringN(0, -1, 200).Draw(t, prefix))
	}
	budget := func(label string) Share {
		return rapid.OneOf(
			rapid.Map(rapid.Int64Min(0), func(n int64) Share { return Share{Bytes: n} }),
			rapid.Map(rapid.Float64Range(0, 99.9), func(p float64) Share { return Share{Percent: p} }),
		).Draw(t, label)
	}
	return Config{
		Layout: word("layout", "auto", "enstack"),
		Views: ViewNames{
			Latest: view("l"), Resume: view("r"), Best: view("b"), ByEpoch: view("e"), ByStep: view("s"),
			Listed: word("listed", "auto", "always", "never"), Style: word("style", "dir", "symlink"),
		},
		Resume: ResumePolicy{
			Order: rapid.SliceOfNDistinct(rapid.SampledFrom([]layout.Kind{
				layout.Last, layout.Recovery, layout.MidEpoch, layout.EpochEnd, layout.Step, layout.Best, layout.Final, layout.Backup,
			}), 1, 8, func(k layout.Kind) layout.Kind { return k }).Draw(t, "order"),
			Prefer: word("prefer", PreferPriority, PreferProgress),
		},
		Best: BestPolicy{Metric: rapid.String().Draw(t, "metric"), Mode: word("mode", ModeMax, ModeMin)},
		Save: SavePolicy{Settle: span("settle"), Durability: word("durability", "async", "close"), IncompleteTTL: span("incomplete_ttl")},
		Retention: Retention{
			MidEpoch: Rule{
				KeepLast: limit("mid_epoch"), KeepEverySteps: rapid.Int64Min(0).Draw(t, "steps"),
				MaxAge: span("max_age"), When: word("when", WhenEpochEnd, WhenAlways),
			},
			Step:         Rule{KeepLast: limit("step"), KeepEverySteps: rapid.Int64Min(0).Draw(t, "step steps"), MaxAge: span("step age")},
			EpochEnd:     Rule{KeepLast: limit("epoch_end"), KeepEvery: rapid.IntMin(0).Draw(t, "every"), MaxAge: span("epoch_end age")},
			Best:         Rule{KeepLast: limit("best")},
			History:      Rule{KeepLast: limit("history"), MaxAge: span("history age")},
			MaxTotal:     budget("max_total"),
			HistoryTotal: budget("history.max_total"),
			MinFree:      budget("min_free"),
			TrashTTL:     span("trash_ttl"),
			TrashTotal:   budget("trash_max_total"),
			ProtectLast:  rapid.Bool().Draw(t, "protect_last"),
			DryRun:       rapid.Bool().Draw(t, "dry_run"),
		},
		Scrub: rapid.OneOf(
			rapid.Just(time.Duration(0)),
			rapid.Map(rapid.Int64Min(int64(shortestPeriod)), func(n int64) time.Duration { return time.Duration(n) }),
		).Draw(t, "scrub"),
	}
})

// withRuns draws one in which runs differ.
var withRuns = rapid.Custom(func(t *rapid.T) Config {
	c := config.Draw(t, "config")
	for _, pattern := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z*{},."' ]{1,9}`), 0, 3, rapid.ID).Draw(t, "patterns") {
		if !doublestar.ValidatePattern(pattern) {
			continue
		}
		differs := config.Draw(t, "differs")
		entry := RunConfig{Runs: pattern, Values: Default()}
		for _, path := range leaves(perRun, "") {
			k, _ := perRun.at(path)
			if rapid.Bool().Draw(t, path) && k.value.format(&differs) != "" {
				entry.Keys = append(entry.Keys, path)
				k.value.copy(&entry.Values, &differs)
			}
		}
		slices.Sort(entry.Keys)
		c.Runs = append(c.Runs, entry)
	}
	return c
})

// leaves lists the paths of the keys below one that hold a value.
func leaves(k key, path string) (all []string) {
	for _, sub := range k.keys {
		full := strings.TrimPrefix(path+"."+sub.name, ".")
		if sub.keys == nil {
			all = append(all, full)
		}
		all = append(all, leaves(sub, full)...)
	}
	return all
}

// TestYAMLRoundTrip: what .ckptfs/config shows can be used as a configuration
// and means the same.
func TestYAMLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := withRuns.Draw(t, "config")
		data := want.YAML()
		got, err := Parse("f", data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, data)
		}
	})
}

// Configurations that ask for far more memory or time than they have bytes.
func TestParseIsBounded(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, MaxFile/len(unit)) }
	for name, text := range map[string]string{
		"too long":               strings.Repeat("#", MaxFile+1),
		"ever deeper lists":      fill("["),
		"ever deeper mappings":   fill("{a: "),
		"ever more unknown keys": fill("a: 1\n"),
		"one long unknown key":   fill("a") + ": 1",
		"aliases of aliases":     "a: &a [1,1]\n" + bombOfAliases(),
		"ever more documents":    fill("---\n"),
		"ever more runs": "runs: {" + func() string {
			var b strings.Builder
			for i := 0; b.Len() < MaxFile-16; i++ {
				fmt.Fprintf(&b, "%x: ,", i)
			}
			return b.String()
		}() + "}",
		"ever more anchors":       fill("- &a b\n"),
		"a list of ever the same": "resume: {order: [" + strings.Repeat("last, ", MaxFile/8) + "last]}",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse("f", []byte(text))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<20 {
			t.Errorf("%s: %d MiB allocated", name, spent>>20)
		}
	}
}

func bombOfAliases() string {
	var b strings.Builder
	for c := 'b'; c <= 'z'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9))
	}
	return b.String()
}

// FuzzParse: a configuration is refused or means what its YAML means.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"default.yaml", "full.yaml"} {
		data, err := os.ReadFile(filepath.Join("..", "testdata", "config", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("views: {latest: \"\\x7f\\u2028\"}\nsave: {settle: 1w2d3.5h}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse("f", data)
		if err != nil {
			return
		}
		again, err := Parse("f", config.YAML())
		if err != nil {
			t.Fatalf("%v\n%s", err, config.YAML())
		}
		if diff := cmp.Diff(config, again); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
