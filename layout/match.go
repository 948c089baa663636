package layout

import (
	"regexp"
	"strconv"
)

// Match is what a name alone says about an entry of a run.
type Match struct {
	Kind  Kind
	Epoch *int64 // from the name; nil when the name has none
	Step  *int64
	// Of is the checkpoint that a backup was renamed from or that a temporary
	// will become ("last_checkpoint" for ".backup_last_checkpoint"); else "".
	Of string
}

// Checkpoint reports whether the entry is a checkpoint (temporaries are not).
func (m Match) Checkpoint() bool { return m.Kind != "" && m.Kind != Temp }

// An entry is one kind of name in a run.
type entry struct {
	kind  Kind
	isDir bool
	name  *regexp.Regexp // anchored; with the groups epoch, step and of where it has them
}

// Match says what an entry of a run is by its name and whether it is a
// directory. ok is false for what is no checkpoint and no temporary.
//
// A backup or a temporary is one only if the name that it stands for is a
// checkpoint's; it takes epoch and step from there.
func (l *Layout) Match(name string, isDir bool) (m Match, ok bool) {
	for _, e := range l.entries {
		if e.isDir != isDir {
			continue
		}
		groups := e.name.FindStringSubmatch(name)
		if groups == nil {
			continue
		}
		if m, ok := l.fill(e, groups); ok {
			return m, true
		}
	}
	return Match{}, false
}

// fill reads the groups of a name that e matches.
func (l *Layout) fill(e entry, groups []string) (m Match, ok bool) {
	m.Kind = e.kind
	for i, group := range e.name.SubexpNames() {
		switch group {
		case "epoch":
			m.Epoch, ok = number(groups[i])
		case "step":
			m.Step, ok = number(groups[i])
		case "of":
			var of Match
			of, ok = l.Match(groups[i], e.isDir)
			ok = ok && of.Of == "" // no backups of backups
			m.Epoch, m.Step, m.Of = of.Epoch, of.Step, groups[i]
		default:
			continue
		}
		if !ok {
			return Match{}, false
		}
	}
	return m, true
}

// number reads digits. No trainer counts beyond 63 bits.
func number(digits string) (*int64, bool) {
	n, err := strconv.ParseInt(digits, 10, 64)
	return &n, err == nil
}
