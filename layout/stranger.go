package layout

import (
	"slices"

	"ckptfs/layout/format"
)

// Stranger reports whether a file is, by its name, none of the checkpoint's own:
// the layout knows what its files are called and this is none of them, nor is
// it named as a file of tensors is. A log, a lock, notes. The trainer may keep
// it open for days, and what is in it says nothing about the checkpoint.
//
// A layout that names no files of checkpoints of the type cannot tell strangers.
func (l *Layout) Stranger(typ Type, path string) bool {
	names := slices.ContainsFunc(l.groups, func(g group) bool { return g.typ == typ })
	return names && l.file(typ, path) == nil && !format.HoldsTensors(path)
}
