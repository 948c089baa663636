package layout

import (
	"io/fs"
)

// Recognise finds the layout of a directory by what it holds alone: of a copy of
// a checkpoint that has another name, or lies in no run. It is nil where nothing
// in it tells. Where several would fit the one that goes first is meant.
func Recognise(among []*Layout, fsys fs.FS) *Layout {
	var best *Layout
	for _, l := range among {
		if (best == nil || l.rank < best.rank) && l.proves(fsys, Match{Type: Dir}) {
			best = l
		}
	}
	return best
}
