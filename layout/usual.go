package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Where a layout requires nothing, nothing says that a checkpoint is complete.
// What earlier ones consisted of does, as far as habits go: their files, with
// the numbers in the names taken for any number.

// Requires reports whether the layout knows of the checkpoints of a type what
// makes them complete: it says of any file that it has to be there, and not that
// more are to come which it cannot tell.
func (l *Layout) Requires(typ Type) bool {
	return !l.learns && slices.ContainsFunc(l.groups, func(g group) bool { return g.required && g.typ == typ })
}

// Alike reports whether two names differ in their numbers only.
func Alike(a, b string) bool { return wildcard(a) == wildcard(b) }

// Lacking compares the files of a checkpoint that is being saved with those of
// an earlier one of its kind, and says in words what is usual and not there:
// files that had no like, or fewer of them than there were. Ranks write one
// file each, so fewer of them is a rank that has not written yet.
func Lacking(now, earlier []string) []string {
	have, usual := shape(now), shape(earlier)
	var lacking []string
	for _, pattern := range slices.Sorted(maps.Keys(usual)) {
		switch fewer := usual[pattern] - have[pattern]; {
		case fewer <= 0:
		case usual[pattern] == 1:
			lacking = append(lacking, pattern)
		default:
			lacking = append(lacking, fmt.Sprintf("%d of %d files like %s", fewer, usual[pattern], pattern))
		}
	}
	return lacking
}

// Ranks is how many processes wrote a checkpoint, as its files tell: the most
// that differ in their numbers only.
func Ranks(files []string) int {
	ranks := 0
	for _, n := range shape(files) {
		ranks = max(ranks, n)
	}
	return ranks
}

// shape counts the files of each pattern.
func shape(files []string) map[string]int {
	counts := map[string]int{}
	for _, f := range files {
		counts[wildcard(f)]++
	}
	return counts
}

// wildcard writes # for every number in a name.
func wildcard(name string) string {
	var b strings.Builder
	digits := false
	for _, r := range name {
		is := r >= '0' && r <= '9'
		switch {
		case !is:
			b.WriteRune(r)
		case !digits:
			b.WriteByte('#')
		}
		digits = is
	}
	return b.String()
}
