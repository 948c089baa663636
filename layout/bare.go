package layout

import (
	"io/fs"
	"slices"
)

// Recognise finds the layout of a directory by what it holds alone: of a copy of
// a checkpoint that has another name, or lies in no run. It is nil where nothing
// in it tells. Where several would fit the one that goes first is meant.
//
// What lies deeper is looked at only for a layout that knows a file at the top:
// the directory may be anything, with anything below it.
func Recognise(among []*Layout, fsys fs.FS) *Layout {
	top, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil // what cannot be read tells nothing
	}
	var best *Layout
	for _, l := range among {
		known := func(e fs.DirEntry) bool { return e.Type().IsRegular() && l.expects(e.Name()) }
		if (best == nil || l.rank < best.rank) && slices.ContainsFunc(top, known) && l.proves(fsys, Match{Type: Dir}) {
			best = l
		}
	}
	return best
}

// expects reports whether a checkpoint that is a directory has to have a file, or
// nobody else has it.
func (l *Layout) expects(path string) bool {
	required := func(g group) bool { return g.required && g.typ == Dir && g.has(path) }
	return matchesAny(l.telltale.files, path) || slices.ContainsFunc(l.groups, required)
}
