package layout

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"ckptfs/layout/format"
)

// Shards are listed by an index file, which is often written before them, and
// outlives them when a directory is used again: what it lists must be there, and
// long enough.

// index is one that was found in a checkpoint.
type index struct {
	path  string
	needs format.Needs
}

// index reads an index file; problem is what is wrong with it. What goes wrong
// in reading is remembered by the reader.
func (in *inspection) index(p string, r io.ReaderAt, size int64) (problem string) {
	needs, err := format.Index(p, r, size)
	var damage format.Damage
	switch {
	case errors.As(err, &damage):
		return string(damage)
	case err == nil && len(needs) > 0:
		in.indexes = append(in.indexes, index{p, needs})
	}
	return ""
}

// lists are the files that the indexes of a checkpoint list.
func (in *inspection) lists() map[string][]string {
	var all map[string][]string
	for _, idx := range in.indexes {
		if all == nil {
			all = map[string][]string{}
		}
		for _, name := range slices.Sorted(maps.Keys(idx.needs)) {
			all[idx.path] = append(all[idx.path], path.Join(path.Dir(idx.path), name))
		}
	}
	return all
}

// lacking says in words which files are not there, or too short.
func (idx index) lacking(files []FileReport) (all []string) {
	sizes := map[string]int64{}
	for _, f := range files {
		sizes[f.Path] = f.Size
	}
	const shown = 3
	for _, name := range slices.Sorted(maps.Keys(idx.needs)) {
		p := path.Join(path.Dir(idx.path), name)
		size, there := sizes[p]
		switch least := idx.needs[name]; {
		case !there:
			all = append(all, fmt.Sprintf("%s, which %s lists", p, path.Base(idx.path)))
		case size < least:
			all = append(all, fmt.Sprintf("the rest of %s: it is %d bytes, and %s lists %d", p, size, path.Base(idx.path), least))
		}
	}
	if more := len(all) - shown; more > 0 {
		all = append(all[:shown], fmt.Sprintf("%d more files that %s lists", more, path.Base(idx.path)))
	}
	return all
}
