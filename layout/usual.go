package layout

import (
	"fmt"
	"maps"
	"regexp"
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

// Set names the set that a file of a checkpoint is one of: those whose names
// differ in their numbers only, and not in how many there are. Ranks write one
// file each of a set, and a save writes all of it.
func (l *Layout) Set(file string) string {
	from, to := 0, 0 // where the name says how many there are
	if at := howMany.FindStringIndex(file); at != nil {
		from, to = at[0], at[1]
	}
	for _, c := range l.counted {
		i := c.name.SubexpIndex("count")
		if at := c.name.FindStringSubmatchIndex(file); i > 0 && at != nil && at[2*i] >= 0 {
			from, to = at[2*i], at[2*i+1]
		}
	}
	return wildcard(file[:from]) + file[from:to] + wildcard(file[to:])
}

// howMany matches the number of files in a name: model-00001-of-00003,
// rank_0_world_size_8.
var howMany = regexp.MustCompile(`(?:[-_.]of|world[-_]?size)[-_]?\d+`)

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
