package fs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// compareBacking is P4: plain entries as they are, under names of checkpoints
// what is committed.
func (l *life) compareBacking(rel string, dir *entry) error {
	there, err := listNames(filepath.Join(l.m.back, l.dir, rel))
	if err != nil {
		return err
	}
	names := slices.Concat(there, sortedKeys(dir.kids), sortedKeys(dir.names))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		at, kid := path.Join(rel, name), dir.kids[name]
		if r := dir.names[name]; r != nil && (kid == nil || kid.kind == 'd') {
			if err := l.model.observe(at, r, l.backing(at)); err != nil {
				return err
			}
			continue
		}
		got := lookAt(filepath.Join(l.m.back, l.dir, at))
		switch {
		case kid == nil:
			return fmt.Errorf("the backing directory holds %s", at)
		case got.Kind != string(kid.kind):
			return fmt.Errorf("in the backing directory, %s is %s; want %c", at, got.Kind, kid.kind)
		case kid.kind == 'f' && got.Data != digest(kid.data):
			return fmt.Errorf("in the backing directory, %s is %s; want %s", at, named(got.Data), nameOf(kid.data))
		case kid.kind == 'd':
			if err := l.compareBacking(at, kid); err != nil {
				return err
			}
		}
	}
	return nil
}

// backing reads a directory of the backing directory; nil when there is none.
func (l *life) backing(rel string) *entry {
	root, err := os.OpenRoot(filepath.Join(l.m.back, l.dir, rel))
	if err != nil {
		return nil
	}
	defer root.Close()
	var load func(rel string) *entry
	load = func(rel string) *entry {
		dir := newDir(0)
		f, err := root.Open(rel)
		if err != nil {
			return dir
		}
		entries, _ := f.ReadDir(-1)
		f.Close()
		for _, e := range entries {
			name := path.Join(rel, e.Name())
			switch {
			case e.IsDir():
				dir.kids[e.Name()] = load(name)
			case e.Type() == os.ModeSymlink:
				target, _ := root.Readlink(name)
				dir.kids[e.Name()] = &entry{kind: 'l', data: []byte(target)}
			default:
				data, _ := root.ReadFile(name)
				dir.kids[e.Name()] = &entry{kind: 'f', data: data}
			}
		}
		return dir
	}
	return load(".")
}

// viewNames are the virtual entries of a run.
var viewNames = []string{"latest", "resume", "best", "by-epoch", "by-step"}

func withoutViews(names []string) (out []string) {
	for _, name := range names {
		if !slices.Contains(viewNames, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// inView reports whether a path leads through a view, and splits it there.
func inView(rel string) (run, view, rest string, ok bool) {
	parts := strings.Split(rel, "/")
	for i, part := range parts {
		if slices.Contains(viewNames, part) {
			return path.Join(parts[:i]...), part, path.Join(parts[i+1:]...), true
		}
	}
	return "", "", "", false
}

// compareSeen is what a process finds, by listing and by name.
func (l *life) compareSeen(p int) error {
	more := sortedKeys(l.ever)
	answer, err := l.procs[p].do("look " + strings.Join(more, " "))
	if err != nil {
		return err
	}
	var seen map[string]sight
	if err := json.Unmarshal([]byte(answer), &seen); err != nil {
		return err
	}
	listed := map[string]*entry{}
	l.model.root.below("", func(rel string, e *entry) { listed[rel] = e })
	views := map[string]*entry{}
	inodes := map[uint64]*entry{}
	for _, rel := range sortedKeys(seen) {
		got := seen[rel]
		if run, view, rest, ok := inView(rel); ok {
			key := path.Join(run, view)
			if view == "by-epoch" || view == "by-step" {
				number, below, _ := strings.Cut(rest, "/")
				if rest == "" {
					continue
				}
				key, rest = path.Join(key, number), below
			}
			addSight(views, key, rest, got)
			continue
		}
		want := listed[rel]
		if rel != "" {
			_, want, err = l.model.find(p, rel)
		} else {
			err = nil
		}
		delete(listed, rel)
		if want == nil {
			if got.Kind != errnoName(err) {
				return fmt.Errorf("%s is %s; want %s", rel, describeSight(got), errnoName(err))
			}
			continue
		}
		if err := l.compareEntry(rel, want, got, inodes); err != nil {
			return err
		}
	}
	for rel := range listed {
		return fmt.Errorf("%s is not listed", rel)
	}
	return l.compareViews(views)
}

func (l *life) compareEntry(rel string, want *entry, got sight, inodes map[uint64]*entry) error {
	at, _ := l.model.walk(1, rel)
	inside := at.in != nil
	switch {
	case got.Kind != string(want.kind):
		return fmt.Errorf("%s is %s; want %c", rel, describeSight(got), want.kind)
	case want.kind == 'f' && got.Data != digest(want.data):
		return fmt.Errorf("%s is %s; want %s", rel, named(got.Data), nameOf(want.data))
	case want.kind == 'f' && got.Size != int64(len(want.data)):
		return fmt.Errorf("%s has %d bytes and reads as %d", rel, got.Size, len(want.data))
	case want.kind == 'l' && got.Data != string(want.data):
		return fmt.Errorf("%s leads to %s; want %s", rel, got.Data, want.data)
	case rel != "" && want.mode != 0 && got.Mode != want.mode:
		return fmt.Errorf("%s has mode %o; want %o", rel, got.Mode, want.mode)
	case want.mtime != 0 && got.Mtime != want.mtime:
		return fmt.Errorf("%s has time %d; it was set to %d", rel, got.Mtime, want.mtime)
	case want.kind != 'd' && !inside && int(got.Nlink) != l.model.links(want):
		return fmt.Errorf("%s has %d links; want %d", rel, got.Nlink, l.model.links(want))
	case want.kind != 'd' && inside && int(got.Nlink) < max(l.model.links(want), 1): // versions hold it too
		return fmt.Errorf("%s has %d links; want at least %d", rel, got.Nlink, l.model.links(want))
	case want.ino != 0 && got.Ino != want.ino && !(want.loose && want.kind == 'f'):
		return fmt.Errorf("%s has inode %d; it had %d", rel, got.Ino, want.ino)
	case inodes[got.Ino] != nil && inodes[got.Ino] != want && !inodes[got.Ino].loose && !want.loose:
		return fmt.Errorf("%s has the inode of another file", rel)
	}
	want.ino = got.Ino
	inodes[got.Ino] = want
	return nil
}

func describeSight(s sight) string {
	if s.Kind == "f" {
		return "a file, " + named(s.Data)
	}
	return s.Kind
}

// addSight enters what was seen below a view into a tree of its content.
func addSight(views map[string]*entry, key, rest string, s sight) {
	if rest == "" {
		if views[key] == nil {
			views[key] = newDir(0)
		}
		return
	}
	dir := views[key]
	parts := strings.Split(rest, "/")
	for _, part := range parts[:len(parts)-1] {
		dir = dir.kids[part]
	}
	e := &entry{kind: s.Kind[0], data: []byte(s.Data)}
	if s.Kind == "d" {
		e = newDir(0)
	}
	dir.kids[parts[len(parts)-1]] = e
}

// showSeen is show for what addSight has made: there the data are digests.
func showSeen(e *entry) string { return showSeenBut(e, func(string) bool { return false }) }

func showSeenBut(e *entry, leftOut func(rel string) bool) string {
	var parts []string
	e.below("", func(rel string, e *entry) {
		switch {
		case e.kind != 'd' && leftOut(rel):
		case e.kind == 'f':
			parts = append(parts, rel+"="+named(string(e.data)))
		case e.kind == 'l':
			parts = append(parts, rel+"->"+string(e.data))
		case rel != "":
			parts = append(parts, rel+"/")
		}
	})
	return "{" + strings.Join(parts, " ") + "}"
}

// compareViews is P1 and P2: the views show what is committed and nothing else.
// What by-epoch/ and by-step/ show may be of the history: some version that was.
func (l *life) compareViews(seen map[string]*entry) error {
	var err error
	expected := map[string]bool{}
	l.model.root.below("", func(rel string, e *entry) {
		if e.kind != 'd' || rel != "" && l.model.within(rel) {
			return
		}
		for view, trees := range l.model.views(e) {
			key := path.Join(rel, view)
			expected[key] = true
			got := seen[key]
			if got == nil {
				err = fmt.Errorf("%s is not there; want %s", key, showAll(trees))
			} else if !slices.ContainsFunc(trees, func(t *entry) bool { return show(t) == showSeen(got) }) {
				err = fmt.Errorf("%s shows %s; want %s", key, showSeen(got), showAll(trees))
			}
		}
	})
	if err != nil {
		return err
	}
	for key, got := range seen {
		dir, _ := path.Split(key)
		index := strings.HasSuffix(dir, "by-epoch/") || strings.HasSuffix(dir, "by-step/")
		switch {
		case index && !l.model.everWhole[showSeenBut(got, l.model.stranger)]:
			return fmt.Errorf("%s shows %s, which was never committed", key, showSeen(got))
		case !index && !expected[key]:
			return fmt.Errorf("%s shows %s; want none", key, showSeen(got))
		}
	}
	return nil
}
