package layout

import (
	"fmt"
	"slices"
	"strings"

	"ckptfs/layout/format"
)

// A group is a part of a checkpoint that exactly one of several files usually
// makes up: the weights as model.safetensors or as pytorch_model.bin.
type group struct {
	typ      Type // of the checkpoints that it belongs to
	required bool
	core     bool
	when     []string // required only where one of these is, ...
	unless   []string // ... and none of these
	anyOf    []file
}

// A file says what is known about the files that a pattern matches.
type file struct {
	pattern string   // relative to the checkpoint
	formats []string // what they may be; empty for anything
	keys    []string // what their metadata has to hold
}

// Core reports whether a file of a checkpoint of a type belongs to the set that
// must come from one save: weights, optimizer, trainer state.
func (l *Layout) Core(typ Type, path string) bool {
	return slices.ContainsFunc(l.groups, func(g group) bool { return g.typ == typ && g.core && g.has(path) })
}

// CoreGroups lists the core files of checkpoints of a type: of each group at least
// one pattern that has a file must have been rewritten for a save to be whole.
func (l *Layout) CoreGroups(typ Type) [][]string {
	var all [][]string
	for _, g := range l.groups {
		if g.typ == typ && g.core {
			all = append(all, g.patterns())
		}
	}
	return all
}

// InGroup reports whether a file is one of a group that CoreGroups gave.
func InGroup(group []string, path string) bool { return matchesAny(group, path) }

// file finds what is known about a file of a checkpoint of a type, nil when
// nothing is.
func (l *Layout) file(typ Type, path string) *file {
	for _, g := range l.groups {
		for i := range g.anyOf {
			if g.typ == typ && matches(g.anyOf[i].pattern, path) {
				return &g.anyOf[i]
			}
		}
	}
	return nil
}

func (g group) has(path string) bool {
	return slices.ContainsFunc(g.anyOf, func(f file) bool { return matches(f.pattern, path) })
}

func (g group) patterns() []string {
	var all []string
	for _, f := range g.anyOf {
		all = append(all, f.pattern)
	}
	return all
}

// applies reports whether the group is required of a checkpoint with such files.
func (g group) applies(typ Type, files []FileReport) bool {
	there := func(patterns []string) bool {
		return slices.ContainsFunc(files, func(f FileReport) bool { return matchesAny(patterns, f.Path) })
	}
	return g.required && g.typ == typ && (len(g.when) == 0 || there(g.when)) && !there(g.unless)
}

// missing says in words what a group lacks, "" when nothing. other names what is
// in a file's place without being a regular file.
func (g group) missing(files []FileReport, other map[string]string) string {
	what, remark := "one of "+strings.Join(g.patterns(), ", "), "%s is %s"
	if len(g.anyOf) == 1 {
		what, remark = g.anyOf[0].pattern, "%[2]s"
	}
	var remarks []string
	for _, f := range files {
		if !g.has(f.Path) {
			continue
		}
		if f.Size > 0 {
			return ""
		}
		remarks = append(remarks, fmt.Sprintf(remark, f.Path, "empty"))
	}
	for _, f := range g.anyOf {
		if kind := other[f.pattern]; kind != "" {
			remarks = append(remarks, fmt.Sprintf(remark, f.pattern, kind))
		}
	}
	if len(remarks) > 0 {
		what += " (" + strings.Join(remarks, ", ") + ")"
	}
	return what
}

// misplaced says what is wrong with a file that reads but is not what the
// trainer writes under this name.
func (f *file) misplaced(res format.Result, size int64) string {
	switch {
	case len(f.formats) == 0 || slices.Contains(f.formats, res.Format):
		return ""
	case size == 0:
		return "empty"
	}
	return fmt.Sprintf("not a %s file", strings.Join(f.formats, " or "))
}

// missingKeys lists what the metadata of a whole file lacks, in words.
func (f *file) missingKeys(path string, res format.Result) []string {
	if res.Problem != "" || res.Scalars == nil && !res.Proven {
		return nil // damaged, or too large to be looked through
	}
	var missing []string
	for _, key := range f.keys {
		if _, ok := res.Scalars[key]; !ok {
			missing = append(missing, fmt.Sprintf("%q in %s", key, path))
		}
	}
	return missing
}
