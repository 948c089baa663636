package layout

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"ckptfs/layout/format"
)

// Seen is an entry of a run, as Detect looks at it.
type Seen struct {
	Name  string
	IsDir bool
	// Look opens what the entry holds: the directory, or a directory that holds
	// the file. Nil, or what it gives is, where nothing can be looked at.
	Look func() fs.FS
}

// telltale is what nobody else writes: names of files, or keys in their metadata.
type telltale struct {
	files []string
	keys  []string
}

// Found is what Detect found out.
type Found struct {
	Layout *Layout // nil when none matches any entry
	Why    string  // a sentence for the user
	Proved bool    // by what a checkpoint holds
	Told   bool    // by what nobody else writes
}

// A fit says how well a layout fits the entries of a run.
type fit struct {
	layout  *Layout
	matched []string
	proof   string // the checkpoint that holds what this trainer writes, "" for none
	told    bool   // nobody else writes it
}

// looked is how many checkpoints Detect looks into.
const looked = 3

// Detect finds the layout, of those that there are, that the entries of a run
// fit. What the checkpoints hold decides before what they are called: the names
// of one trainer are another's too. Then the layout that knows the most names,
// then the one that goes first.
func Detect(among []*Layout, entries []Seen) Found {
	var best fit
	for _, candidate := range among {
		f := candidate.fit(entries)
		if len(f.matched) > 0 && (best.layout == nil || f.compare(best) > 0) {
			best = f
		}
	}
	if best.layout == nil {
		return Found{Why: fmt.Sprintf("no entry is named like a checkpoint of a known layout (%s)", names(among))}
	}
	why := fmt.Sprintf("%s names checkpoints like %s", best.layout.Name, some(best.matched))
	if best.proof != "" {
		why = fmt.Sprintf("%s names checkpoints like %s, and %s holds what it writes", best.layout.Name, some(best.matched), best.proof)
	}
	return Found{Layout: best.layout, Why: why, Proved: best.proof != "", Told: best.told}
}

// compare is positive when f fits better than g.
func (f fit) compare(g fit) int {
	return cmp.Or(
		cmp.Compare(f.weight(), g.weight()),
		cmp.Compare(len(f.matched), len(g.matched)),
		cmp.Compare(g.layout.rank, f.layout.rank),
		strings.Compare(g.layout.Name, f.layout.Name),
	)
}

// weight is how much the proof of a fit counts.
func (f fit) weight() int {
	switch {
	case f.proof == "":
		return 0
	case f.told:
		return 2
	}
	return 1 // the checkpoints of others may be as whole
}

func (l *Layout) fit(entries []Seen) fit {
	f := fit{layout: l}
	looks := 0
	for _, e := range entries {
		m, ok := l.Match(e.Name, e.IsDir)
		if !ok {
			continue
		}
		f.matched = append(f.matched, e.Name)
		if f.proof != "" || looks == looked || e.Look == nil || !m.Checkpoint() {
			continue
		}
		looks++
		if fsys := e.Look(); fsys != nil && l.proves(fsys, m) {
			f.proof, f.told = e.Name, l.Tells()
		}
	}
	return f
}

// Tells reports whether the layout knows what nobody else writes.
func (l *Layout) Tells() bool { return len(l.telltale.files)+len(l.telltale.keys) > 0 }

// proves reports whether a checkpoint holds what only this trainer writes; where
// there is no such thing, all that the layout requires.
func (l *Layout) proves(fsys fs.FS, m Match) bool {
	if !l.Tells() {
		required := slices.ContainsFunc(l.groups, func(g group) bool { return g.required && g.typ == m.Type })
		report, err := l.Inspect(fsys, m)
		return required && err == nil && report.Complete()
	}
	told := false
	_ = fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case matchesAny(l.telltale.files, path), d.Type().IsRegular() && l.holdsKey(fsys, m, path):
			told = true
			return fs.SkipAll
		}
		return nil // what cannot be read tells nothing
	})
	return told
}

// holdsKey reports whether the metadata of a file has one of the telltale keys.
func (l *Layout) holdsKey(fsys fs.FS, m Match, path string) bool {
	if len(l.telltale.keys) == 0 || l.file(m.Type, path) == nil {
		return false
	}
	f, err := fsys.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	r, ok := f.(io.ReaderAt)
	if err != nil || !ok {
		return false
	}
	scalars := format.Check(path, r, info.Size()).Scalars
	for _, key := range l.telltale.keys {
		if _, ok := scalars.Get(key); ok {
			return true
		}
	}
	return false
}

// some names up to three of several.
func some(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
