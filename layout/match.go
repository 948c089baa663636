package layout

import (
	"regexp"
	"strconv"
)

// Match is what a name alone says about an entry of a run.
type Match struct {
	Kind Kind
	Type Type
	// Name is the checkpoint's: the entry's own, or what the files of a group share.
	Name       string
	Epoch      *int64 // 1-based; nil when the name has none
	Step       *int64 // within the epoch
	GlobalStep *int64 // over the whole run
	// Of is the checkpoint that a backup was renamed from or that a temporary
	// will become ("last_checkpoint" for ".backup_last_checkpoint"); else "".
	Of string
}

// Checkpoint reports whether the entry is a checkpoint: temporaries and pointers
// are not.
func (m Match) Checkpoint() bool { return m.Saved() && m.Kind != Pointing }

// Saved reports whether what is written under the name is to be seen whole or not
// at all.
func (m Match) Saved() bool { return m.Kind != "" && m.Kind != Temp }

// An entry is one kind of name in a run.
type entry struct {
	kind      Kind
	typ       Type
	name      *regexp.Regexp // anchored; its groups are those of nameGroups
	epochFrom int64          // the number of the first epoch
}

// derived reports whether the name stands for another: a backup, a temporary.
func (e entry) derived() bool { return e.kind == Backup || e.kind == Temp }

// Match says what an entry of a run is by its name and whether it is a
// directory. ok is false for what is no checkpoint, no temporary and no pointer.
//
// A backup or a temporary that stands for a name is one only if that name is a
// checkpoint's; it takes the numbers from there.
func (l *Layout) Match(name string, isDir bool) (m Match, ok bool) {
	for _, e := range l.entries {
		groups := e.match(name, isDir)
		if groups == nil {
			continue
		}
		if of, stands := groups["of"]; stands {
			m, ok = l.original(of, isDir)
			m.Of = of
		} else {
			m, ok = e.numbers(groups)
		}
		if ok {
			m.Kind, m.Type, m.Name = e.kind, e.typ, name
			if e.typ == Group {
				m.Name = groups["name"]
			}
			return m, true
		}
	}
	if _, ok := l.Pointer(name); ok && !isDir {
		return Match{Kind: Pointing, Type: File, Name: name}, true
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
	if (e.typ == Dir) != isDir {
		return nil
	}
	values := e.name.FindStringSubmatch(name)
	if values == nil {
		return nil
	}
	groups := map[string]string{}
	for i, group := range e.name.SubexpNames() {
		if values[i] != "" || groups[group] == "" { // of alternatives, the one that took part
			groups[group] = values[i]
		}
	}
	return groups
}

// numbers reads epoch and steps. No trainer counts beyond 63 bits: what does is
// not its name. A number that an optional part of the name would hold is unknown.
func (e entry) numbers(groups map[string]string) (m Match, ok bool) {
	for group, to := range map[string]**int64{"epoch": &m.Epoch, "step": &m.Step, "global_step": &m.GlobalStep} {
		if groups[group] == "" {
			continue
		}
		n, err := strconv.ParseInt(groups[group], 10, 64)
		if err != nil {
			return Match{}, false
		}
		if group == "epoch" {
			n += 1 - e.epochFrom
		}
		*to = &n
	}
	return m, true
}
