package layout

import (
	"fmt"
	"strings"
)

// Detect finds the built-in layout that the entries of a run fit: the one that
// matches most of them. l is nil when none matches any. why is a sentence for
// the user that says what the choice rests on.
func Detect(names []string, isDir func(name string) bool) (l *Layout, why string) {
	var found []string
	for _, candidate := range builtin() {
		var matched []string
		for _, name := range names {
			if _, ok := candidate.Match(name, isDir(name)); ok {
				matched = append(matched, name)
			}
		}
		if len(matched) > len(found) {
			l, found = candidate, matched
		}
	}
	if l == nil {
		return nil, fmt.Sprintf("No entry is named like a checkpoint of a known layout (%s).", builtinNames())
	}
	return l, fmt.Sprintf("Layout %s: it names checkpoints like %s.", l.Name, some(found))
}

// some names up to three of several.
func some(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
