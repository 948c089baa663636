package layout

import (
	"slices"

	"github.com/bmatcuk/doublestar/v4"
)

// Patterns are those of a shell: * and ? stay within one part of a path, ** is
// any number of parts, {a,b} is one of several.

// matches says so for a pattern that Parse has accepted.
func matches(pattern, name string) bool { return doublestar.MatchUnvalidated(pattern, name) }

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

func validPattern(pattern string) bool { return pattern != "" && doublestar.ValidatePattern(pattern) }
