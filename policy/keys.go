package policy

import (
	"time"

	"ckptfs/layout"
)

// key is one key of the configuration file. The tree of keys below is the only
// place that knows what there is: Parse, the suggestions and YAML follow it.
type key struct {
	name    string
	doc     string // what it means, for the comment beside a leaf and above a section
	value   value  // of a leaf
	example string // for the comment that stands for a leaf that is not set
	keys    []key  // of a section
	layouts bool   // a list of layouts, each of which is a file elsewhere
	runs    bool   // a section of patterns, each with the keys that may differ from run to run
	global  bool   // of a leaf: it cannot differ from run to run
}

// find returns the key of a name in a section.
func (k key) find(name string) (key, bool) {
	for _, sub := range k.keys {
		if sub.name == name {
			return sub, true
		}
	}
	return key{}, false
}

// names are the keys of a section.
func (k key) names() []string {
	names := make([]string, len(k.keys))
	for i, sub := range k.keys {
		names[i] = sub.name
	}
	return names
}

// root holds the keys in the order of the file.
var root = key{keys: []key{
	{
		name: "layout", value: text(func(c *Config) *string { return &c.Layout }),
		doc: "whose names the checkpoints have; auto detects the trainer",
	},
	{
		name: "layouts", layouts: true, example: "[{name: mine, entries: [...]}]",
		doc: "your own trainers' layouts; ckptfs layouts show NAME prints one to start from",
	},
	{
		name: "views",
		doc:  "The virtual directories of a run. \"\" hides one altogether.",
		keys: []key{
			{name: "latest", value: component(func(c *Config) *string { return &c.Views.Latest })},
			{name: "resume", value: component(func(c *Config) *string { return &c.Views.Resume })},
			{name: "best", value: component(func(c *Config) *string { return &c.Views.Best })},
			{name: "by-epoch", value: component(func(c *Config) *string { return &c.Views.ByEpoch })},
			{name: "by-step", value: component(func(c *Config) *string { return &c.Views.ByStep })},
			{
				name: "listed", value: choice(func(c *Config) *string { return &c.Views.Listed }, "auto", "always", "never"),
				doc: "in ls: auto (where the trainer is known to bear it), always or never",
			},
			{
				name: "style", value: choice(func(c *Config) *string { return &c.Views.Style }, "dir", "symlink"),
				doc: "dir (real directories) or symlink",
			},
		},
	},
	{
		name: "resume",
		doc:  "Which checkpoint resume/ shows.",
		keys: []key{
			{
				name:  "order",
				value: kinds(func(c *Config) *[]layout.Kind { return &c.Resume.Order }, layout.Kinds...),
				doc:   "the first choice first",
			},
			{
				name: "prefer", value: choice(func(c *Config) *string { return &c.Resume.Prefer }, PreferPriority, PreferProgress),
				doc: "priority (the first kind that has one) or progress (the most advanced of them all)",
			},
		},
	},
	{
		name: "best",
		doc:  "Which checkpoint best/ shows.",
		keys: []key{
			{
				name: "metric", value: text(func(c *Config) *string { return &c.Best.Metric }),
				doc: "such as best_val_f1; \"\" shows the trainer's own best checkpoint",
			},
			{
				name: "mode", value: choice(func(c *Config) *string { return &c.Best.Mode }, ModeMax, ModeMin),
				doc: "max or min",
			},
		},
	},
	{
		name: "save",
		doc:  "When a save is committed.",
		keys: []key{
			{
				name: "settle", value: duration(func(c *Config) *time.Duration { return &c.Save.Settle }),
				doc: "how long nothing may change before a complete save commits",
			},
			{
				name: "durability", value: choice(func(c *Config) *string { return &c.Save.Durability }, "async", "close"),
				doc: "async (the trainer goes on at once) or close (close waits for the commit)",
			},
			{
				name: "incomplete_ttl", value: duration(func(c *Config) *time.Duration { return &c.Save.IncompleteTTL }),
				doc: "how long a save that never became complete is kept",
			},
		},
	},
	{
		name: "retention",
		doc: "What may be deleted. A kind without a rule is kept until max_total or min_free takes it. What\n" +
			"latest/, resume/ or best/ shows, and what is pinned, in use or being saved, is kept in any case.",
		keys: []key{
			{
				name: "mid_epoch",
				doc: "Checkpoints within an epoch. What any keep rule names is kept; max_age takes what is older. A\n" +
					"recovery checkpoint goes when the end of its epoch is committed.",
				keys: []key{
					{
						name: "keep_last", example: "2", value: count(func(c *Config) **int { return &c.Retention.MidEpoch.KeepLast }),
						doc: "the newest ones",
					},
					{
						name: "keep_every_steps", example: "5000",
						value: interval(func(c *Config) *int64 { return &c.Retention.MidEpoch.KeepEverySteps }),
						doc:   "the first one at or after each multiple of so many global steps",
					},
					{
						name: "max_age", example: "7d", value: age(func(c *Config) *time.Duration { return &c.Retention.MidEpoch.MaxAge }),
						doc: "none older than this",
					},
					{
						name: "when", value: choice(func(c *Config) *string { return &c.Retention.MidEpoch.When }, WhenEpochEnd, WhenAlways),
						doc: "epoch_end (once the end of their epoch is committed) or always",
					},
				},
			},
			{
				name: "step",
				doc: "Checkpoints that only count steps (checkpoint-500). Without a rule of their own those of\n" +
					"mid_epoch hold for both as for one kind, and when does not hold them up.",
				keys: []key{
					{
						name: "keep_last", example: "2", value: count(func(c *Config) **int { return &c.Retention.Step.KeepLast }),
						doc: "the newest ones",
					},
					{
						name: "keep_every_steps", example: "5000",
						value: interval(func(c *Config) *int64 { return &c.Retention.Step.KeepEverySteps }),
						doc:   "the first one at or after each multiple of so many global steps",
					},
					{
						name: "max_age", example: "7d", value: age(func(c *Config) *time.Duration { return &c.Retention.Step.MaxAge }),
						doc: "none older than this",
					},
				},
			},
			{
				name: "epoch_end",
				doc:  "Checkpoints at the end of an epoch.",
				keys: []key{
					{
						name: "keep_last", example: "3", value: count(func(c *Config) **int { return &c.Retention.EpochEnd.KeepLast }),
						doc: "the newest ones",
					},
					{
						name: "keep_every", example: "10", value: interval(func(c *Config) *int { return &c.Retention.EpochEnd.KeepEvery }),
						doc: "those of every so many epochs",
					},
					{
						name: "max_age", example: "30d", value: age(func(c *Config) *time.Duration { return &c.Retention.EpochEnd.MaxAge }),
						doc: "none older than this",
					},
				},
			},
			{
				name: "best",
				doc: "The best checkpoints, by the metric of best/, of whatever kind; of those that the trainer calls\n" +
					"the best the others go. Without a metric the newest of these are the best.",
				keys: []key{
					{
						name: "keep", example: "1", value: count(func(c *Config) **int { return &c.Retention.Best.KeepLast }),
						doc: "so many",
					},
				},
			},
			{
				name: "history",
				doc:  "Earlier versions of a name that was overwritten.",
				keys: []key{
					{
						name: "keep_last", value: countOrAll(func(c *Config) **int { return &c.Retention.History.KeepLast }),
						doc: "the newest ones of each name; a number, or all",
					},
					{
						name: "max_age", example: "30d", value: age(func(c *Config) *time.Duration { return &c.Retention.History.MaxAge }),
						doc: "none older than this",
					},
					{
						name: "max_total", example: "10GB", value: share(func(c *Config) *Share { return &c.Retention.HistoryTotal }),
						doc: "what those of a run may take, or 5% of the disk",
					},
				},
			},
			{
				name: "max_total", example: "50GB", value: share(func(c *Config) *Share { return &c.Retention.MaxTotal }),
				doc: "what a run may take, or 20% of the disk; the least advanced go that no rule names",
			},
			{
				name: "min_free", global: true, example: "5GB", value: share(func(c *Config) *Share { return &c.Retention.MinFree }),
				doc: "what stays free on the file system, or 10%; the same go, also while a save runs",
			},
			{
				name: "trash_ttl", global: true, value: duration(func(c *Config) *time.Duration { return &c.Retention.TrashTTL }),
				doc: "how long a deleted checkpoint can be restored",
			},
			{
				name: "trash_max_total", global: true, example: "10GB", value: share(func(c *Config) *Share { return &c.Retention.TrashTotal }),
				doc: "what deleted ones may take until then, or 5% of the disk; the oldest go",
			},
			{
				name: "protect_last", global: true, value: boolean(func(c *Config) *bool { return &c.Retention.ProtectLast }),
				doc: "never lose the newest valid version, not even to make room",
			},
			{
				name: "dry_run", value: boolean(func(c *Config) *bool { return &c.Retention.DryRun }),
				doc: "decide and report, delete nothing",
			},
		},
	},
	{
		name: "scrub", example: "7d", value: period(func(c *Config) *time.Duration { return &c.Scrub }),
		doc: "how often a mount reads all that is committed again, when nobody else needs the disk",
	},
	{
		name: "runs", runs: true, example: "{\"sweep/*\": {retention: {max_total: 5GB}}}",
		doc: "what differs for the runs below these paths: keys of resume, best and retention",
	},
}}
