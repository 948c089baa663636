// Package layout knows what trainers write: the names of checkpoints, what a
// whole one consists of, and how far training had come when it was saved.
//
// A layout is data: one YAML file per trainer, embedded here and read by one
// engine; no trainer's name is in the code. The engine only reads; it takes an
// io/fs.FS that is rooted at one checkpoint, never a path, so that it cannot
// leave it.
package layout

import "slices"

// Kind says what role a checkpoint plays in a run.
type Kind string

// The kinds of the field. Temp is a name that will become a checkpoint by a
// rename; it is an ordinary entry until then and never resolved by a view.
const (
	Last     Kind = "last"
	Recovery Kind = "recovery"
	MidEpoch Kind = "mid_epoch"
	EpochEnd Kind = "epoch_end"
	Step     Kind = "step"
	Best     Kind = "best"
	Final    Kind = "final"
	Backup   Kind = "backup"
	Temp     Kind = "temp"

	// Pointing is a file that names a checkpoint, see Pointer.
	Pointing Kind = "pointer"
)

// Kinds lists those of checkpoints.
var Kinds = []Kind{Last, Recovery, MidEpoch, EpochEnd, Step, Best, Final, Backup}

// Type says what a checkpoint is in its run.
type Type string

// The types. A Group is several files of the run that share a name, such as
// ckpt-7.index and ckpt-7.data-00000-of-00001.
const (
	Dir   Type = "dir"
	File  Type = "file"
	Group Type = "group"
)

// Layout is how one trainer names and composes checkpoints. It does not change
// after Parse and can be shared.
type Layout struct {
	Name   string
	About  string // whose checkpoints these are, in half a line
	Source string // where the facts come from

	// ListsViews says that the trainer bears views in the listing of a run:
	// it neither resumes from, nor counts, nor removes what it did not write.
	ListsViews bool

	// Best is the metric that best/ goes by when the configuration names none,
	// and whether the highest or the lowest is the best. Zero when the trainer
	// gives none.
	Best struct {
		Metric string
		Lowest bool
	}

	text     []byte // the YAML that it was read from
	rank     int    // where names alone fit several layouts, the lowest goes first
	telltale telltale
	learns   bool // what it requires is not all that a save writes
	entries  []entry
	ignored  []string
	groups   []group
	counted  []counted
	pointers []Pointer
	marker   string // name of the sibling that says "unfinished", with {name} in it
	metadata metadata
}

// Text is the layout as YAML, with comments, as a user may copy it.
func (l *Layout) Text() []byte { return slices.Clone(l.text) }

// Ignored reports whether an entry of a run is known to be no checkpoint: a
// log directory, a plot. It is passed through untouched.
func (l *Layout) Ignored(name string) bool { return matchesAny(l.ignored, name) }
