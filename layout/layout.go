// Package layout knows what trainers write: the names of checkpoints, what a
// whole one consists of, and how far training had come when it was saved.
//
// A layout is data: one YAML file per trainer, embedded here and read by one
// engine. The engine only reads; it takes an io/fs.FS that is rooted at one
// checkpoint directory, never a path, so that it cannot leave it.
package layout

import "path"

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
)

// Layout is how one trainer names and composes checkpoints. It does not change
// after Parse and can be shared.
type Layout struct {
	Name   string
	Source string // where the facts come from

	// ListsViews says that the trainer bears views in the listing of a run:
	// it neither resumes from, nor counts, nor removes what it did not write.
	ListsViews bool

	entries  []entry
	ignored  []string // path.Match patterns
	groups   []group
	metadata metadata
}

// Ignored reports whether an entry of a run is known to be no checkpoint: a
// log directory, a plot. It is passed through untouched.
func (l *Layout) Ignored(name string) bool {
	for _, pattern := range l.ignored {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}

// matches is path.Match with a pattern that Parse has accepted.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
