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

// derived reports whether the name stands for another: a backup, a temporary.
func (e entry) derived() bool { return e.kind == Backup || e.kind == Temp }

// Match says what an entry of a run is by its name and whether it is a
// directory. ok is false for what is no checkpoint and no temporary.
//
// A backup or a temporary is one only if the name that it stands for is a
// checkpoint's; it takes epoch and step from there.
func (l *Layout) Match(name string, isDir bool) (m Match, ok bool) {
	for _, e := range l.entries {
		groups := e.match(name, isDir)
		if groups == nil {
			continue
		}
		if !e.derived() {
			m, ok = e.numbers(groups)
		} else {
			m, ok = l.original(groups["of"], isDir)
			m.Of = groups["of"]
		}
		if ok {
			m.Kind = e.kind
			return m, true
		}
	}
	return Match{}, false
}

// original finds the checkpoint that a derived name stands for.
func (l *Layout) original(name string, isDir bool) (m Match, ok bool) {
	for _, e := range l.entries {
		if groups := e.match(name, isDir); groups != nil && !e.derived() {
			return e.numbers(groups)
		}
	}
	return Match{}, false
}

// match gives the named groups of a name, nil when it does not match.
func (e entry) match(name string, isDir bool) map[string]string {
	if e.isDir != isDir {
		return nil
	}
	values := e.name.FindStringSubmatch(name)
	if values == nil {
		return nil
	}
	groups := map[string]string{}
	for i, group := range e.name.SubexpNames() {
		groups[group] = values[i]
	}
	return groups
}

// numbers reads epoch and step. No trainer counts beyond 63 bits: what does is
// not its name.
func (e entry) numbers(groups map[string]string) (m Match, ok bool) {
	for group, to := range map[string]**int64{"epoch": &m.Epoch, "step": &m.Step} {
		digits, has := groups[group]
		if !has {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return Match{}, false
		}
		*to = &n
	}
	return m, true
}
