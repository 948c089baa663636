package policy

import (
	"time"

	"ckptfs/layout"
)

// Config is the whole configuration of one mount. [Parse] reads it, [Default]
// is what an empty file means, and [Config.YAML] explains every key.
type Config struct {
	Layout    string           // the name of a layout, or "auto" to detect it
	Layouts   []*layout.Layout // the user's own, which go before the built-in ones
	Views     ViewNames
	Resume    ResumePolicy
	Best      BestPolicy
	Save      SavePolicy
	Retention Retention
	Scrub     time.Duration // how often every committed byte is read again; 0 = never
	Runs      []RunConfig   // what differs from run to run; see [Config.For]
}

// ViewNames are the names of the virtual directories; "" hides one altogether.
type ViewNames struct {
	Latest, Resume, Best, ByEpoch, ByStep string
	Listed                                string // auto | always | never
	Style                                 string // dir | symlink
}

// Names lists all of them, in the order of listings. One may be "".
func (n ViewNames) Names() []string {
	return []string{n.Latest, n.Resume, n.Best, n.ByEpoch, n.ByStep}
}

// ResumePolicy says which checkpoint resume/ resolves to. A kind that Order
// leaves out is never resumed from.
type ResumePolicy struct {
	Order  []layout.Kind
	Prefer string // PreferPriority or PreferProgress
}

// The values of resume.prefer.
const (
	PreferPriority = "priority" // the first kind of the order that has a committed checkpoint
	PreferProgress = "progress" // the most advanced checkpoint of all kinds in the order
)

// BestPolicy says which checkpoint best/ resolves to.
type BestPolicy struct {
	Metric string // a metric of the checkpoints' own metadata; "" = what the trainer calls the best
	Mode   string // ModeMax or ModeMin

	// Usual is the trainer's own metric, for runs in which no checkpoint is called
	// the best; it is none of the configuration's keys.
	Usual *BestPolicy
}

// The values of best.mode.
const (
	ModeMax = "max" // the highest metric is the best
	ModeMin = "min"
)

// SavePolicy says when a save is committed.
type SavePolicy struct {
	Settle        time.Duration // how long nothing may change before a complete save commits
	Durability    string        // async | close
	IncompleteTTL time.Duration // how long a save that never became complete is kept
}

// AllLayouts are the layouts of a mount: the user's own before those that come
// with the program.
func (c Config) AllLayouts() []*layout.Layout { return layout.With(c.Layouts) }

// Default is the configuration of a run that has none. It deletes no
// checkpoint: retention starts with the first rule that a user writes.
func Default() Config {
	return Config{
		Layout: "auto",
		Views: ViewNames{
			Latest: "latest", Resume: "resume", Best: "best", ByEpoch: "by-epoch", ByStep: "by-step",
			Listed: "auto", Style: "dir",
		},
		Resume: ResumePolicy{
			Order:  []layout.Kind{layout.Last, layout.Recovery, layout.MidEpoch, layout.Backup, layout.Best},
			Prefer: PreferPriority,
		},
		Best: BestPolicy{Mode: ModeMax},
		Save: SavePolicy{Settle: time.Second, Durability: "async", IncompleteTTL: 24 * time.Hour},
		Retention: Retention{
			MidEpoch:    Rule{When: WhenEpochEnd},
			History:     Rule{KeepLast: new(1)},
			TrashTTL:    10 * time.Minute,
			ProtectLast: true,
		},
	}
}
