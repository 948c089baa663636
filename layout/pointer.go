package layout

import (
	"regexp"
	"strconv"
	"strings"
)

// A Pointer is a file of a run that names a checkpoint: the newest one, for the
// trainer to resume from.
type Pointer struct {
	name    *regexp.Regexp // of the file
	content *regexp.Regexp // with the group "name", or a number and the name to make of it
	target  string         // "" for the group "name"; else a name with {n} or {n:07} in it
}

// Pointer says whether a file of a run is a pointer.
func (l *Layout) Pointer(name string) (p *Pointer, ok bool) {
	for i := range l.pointers {
		if l.pointers[i].name.MatchString(name) {
			return &l.pointers[i], true
		}
	}
	return nil, false
}

// Owns reports whether a run has an entry of this name that is the trainer's, and
// no checkpoint.
func (l *Layout) Owns(name string) bool {
	_, pointer := l.Pointer(name)
	return pointer || l.Ignored(name)
}

// MaxPointer is the size, in bytes, beyond which a file is no pointer.
const MaxPointer = 64 << 10

// Target is the name of the checkpoint that a pointer's content leads to, the
// last part of it where the content is a path. ok is false when the content is
// not of the form, as while it is being written.
func (p *Pointer) Target(content []byte) (name string, ok bool) {
	if len(content) > MaxPointer {
		return "", false
	}
	values := p.content.FindSubmatch(content)
	if values == nil {
		return "", false
	}
	if p.target == "" {
		name = strings.TrimRight(string(values[p.content.SubexpIndex("name")]), "/")
		return name[strings.LastIndexByte(name, '/')+1:], name != ""
	}
	n, err := strconv.ParseInt(string(values[p.content.SubexpIndex("n")]), 10, 64)
	if err != nil {
		return "", false
	}
	return numberedName.ReplaceAllStringFunc(p.target, func(hole string) string {
		digits := strconv.FormatInt(n, 10)
		if width := numberedName.FindStringSubmatch(hole)[1]; width != "" {
			w, _ := strconv.Atoi(width) // two digits
			digits = strings.Repeat("0", max(0, w-len(digits))) + digits
		}
		return digits
	}), true
}

// numberedName is the hole in a name that a number goes into: {n} or, with
// zeros before it, {n:07}.
var numberedName = regexp.MustCompile(`\{n(?::0(\d{1,2}))?\}`)

// Marker is the name of the entry beside a checkpoint that says, as long as it is
// there, that the checkpoint is not finished; "" when the trainer has none.
func (l *Layout) Marker(checkpoint string) string {
	return strings.ReplaceAll(l.marker, "{name}", checkpoint)
}

// Marked is the checkpoint that an entry of a run marks as unfinished.
func (l *Layout) Marked(entry string) (checkpoint string, ok bool) {
	before, after, has := strings.Cut(l.marker, "{name}")
	if !has || len(entry) <= len(before)+len(after) || !strings.HasPrefix(entry, before) || !strings.HasSuffix(entry, after) {
		return "", false
	}
	return entry[len(before) : len(entry)-len(after)], true
}
