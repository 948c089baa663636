package fs_test

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// The model is docs/SEMANTICS.md as a program: what each process sees by name,
// what an operation answers, and what may be committed when, in maps and slices
// without a disk, a kernel or a lock. TestModel does the same operations to it
// and to a real mount, and compares. It reads in this order:
//
//	model_test.go        what there is, and what a process finds by a name
//	modelfile_test.go    files: open, write, close, and the death of a writer
//	modelname_test.go    names: make, remove, link, change
//	modelrename_test.go  names that move
//	modelcommit_test.go  what is committed when
//	modelview_test.go    what the views show, and what is whole
//
// The rest is the harness:
//
//	modelop_test.go      the operations as lines of text, and as random ones
//	modelworker_test.go  a process that does them to a real mount
//	modelprocess_test.go the same from outside
//	modellife_test.go    both side by side
//	modelcompare_test.go how they are compared
//
// Where ckptfs is free to choose (a commit may have happened already or not),
// the model allows all of what is right, and says so in words.

// entry is what POSIX calls an inode.
type entry struct {
	kind  byte // d, f or l
	mode  uint32
	data  []byte // of a file; the target of a link
	mtime int64  // as it was set and not changed since; 0 when anything is right

	kids   map[string]*entry // of a directory: the published names, as listings show them
	drafts map[string]*draft // of a directory of a checkpoint: files that are being written
	names  map[string]*record

	ino    uint64 // as it was seen first; it stays
	loose  bool   // but for a file that was written again as it was
	shared bool   // a version may hold it: it may have more links than names
}

// draft is the one unpublished file of a name (section "When a file is seen").
// Whoever opens the name for writing joins it. Until the last of them has closed
// it, others find what the name held before.
type draft struct {
	file    *entry
	dir     *entry // where its name is now
	name    string
	openers map[int]bool // the processes that find it by name
	handles []*handle
	visible bool   // closed by all: under its name, but not final yet
	before  *entry // what a visible draft's name held, should a writer die yet
	exited  bool   // left open at an exit with 0: the format has to prove it whole
	killed  bool   // a writer died: it will be held back
	gone    bool   // its name was taken or removed: nothing to publish
}

// handle is an open file description; dup(2) gives it one descriptor more.
type handle struct {
	proc    int
	file    *entry
	draft   *draft // nil outside checkpoints, and for readers
	flags   string
	at      int
	fds     int
	flushed bool // one of its descriptors was closed
}

func (h *handle) writes() bool { return h.flags != "r" }

// model is all that there is of one life: a directory that is a run.
type model struct {
	root   *entry
	open   map[int]map[string]*handle // by process and descriptor
	layout *layout.Layout

	everWhole map[string]bool // contents that may have been committed, by show
}

func newModel() *model {
	l, err := layout.ByName(layout.Builtin(), "enstack")
	if err != nil {
		panic(err)
	}
	return &model{root: newDir(0o755), open: map[int]map[string]*handle{}, layout: l, everWhole: map[string]bool{}}
}

func newDir(mode uint32) *entry {
	return &entry{kind: 'd', mode: mode, kids: map[string]*entry{}, drafts: map[string]*draft{}, names: map[string]*record{}}
}

func newFile(mode uint32) *entry { return &entry{kind: 'f', mode: mode} }

// place is where a path leads: a name in a directory, and the checkpoint that
// this directory lies in. Of nested matches the outermost is the checkpoint.
type place struct {
	dir    *entry
	name   string
	in     *record // nil outside
	within []*entry
}

// walk follows a path but for its last name.
func (m *model) walk(p int, name string) (place, error) {
	parts := strings.Split(name, "/")
	at := place{dir: m.root, within: []*entry{m.root}}
	for _, part := range parts[:len(parts)-1] {
		at.name = part
		next := m.seen(p, at)
		switch {
		case next == nil || next.kind == 'l': // links lead nowhere here
			return at, unix.ENOENT
		case next.kind != 'd':
			return at, unix.ENOTDIR
		}
		if at.in == nil {
			at.in = m.recordOf(at)
		}
		at.dir = next
		at.within = append(at.within, next)
	}
	at.name = parts[len(parts)-1]
	return at, nil
}

// find is walk and a look at the last name; ENOENT when it is not there.
func (m *model) find(p int, name string) (place, *entry, error) {
	at, err := m.walk(p, name)
	if err != nil {
		return at, nil, err
	}
	if e := m.seen(p, at); e != nil {
		return at, e, nil
	}
	return at, nil, unix.ENOENT
}

// seen is what a process finds by a name: the file that it is writing under it,
// else what is published.
func (m *model) seen(p int, at place) *entry {
	if d := at.dir.drafts[at.name]; d != nil && d.openers[p] {
		return d.file
	}
	return at.dir.kids[at.name]
}

// isName reports whether a directory of that name is a checkpoint.
func (m *model) isName(at place) bool {
	match, ok := m.layout.Match(at.name, true)
	return ok && match.Checkpoint() && at.in == nil
}

// recordOf is the checkpoint of a name; nil for other names.
func (m *model) recordOf(at place) *record {
	if !m.isName(at) {
		return nil
	}
	r := at.dir.names[at.name]
	if r == nil {
		match, _ := m.layout.Match(at.name, true)
		r = &record{match: match, run: at.dir, name: at.name}
		at.dir.names[at.name] = r
	}
	return r
}

// empty reports whether a directory may be removed: a file that is being written
// keeps it, and views do not.
func (e *entry) empty() bool { return len(e.kids) == 0 && len(e.drafts) == 0 }

// below calls f for an entry and everything published below it.
func (e *entry) below(rel string, f func(rel string, e *entry)) {
	f(rel, e)
	for _, name := range sortedKeys(e.kids) {
		e.kids[name].below(path.Join(rel, name), f)
	}
}

// writing reports whether anything below e is being written.
func (e *entry) writing() bool {
	found := len(e.drafts) > 0
	for _, kid := range e.kids {
		found = found || kid.kind == 'd' && kid.writing()
	}
	return found
}

// holdsCheckpoints reports whether checkpoints lie below a plain directory.
func (e *entry) holdsCheckpoints() bool {
	found := false
	e.below("", func(_ string, e *entry) {
		for _, r := range e.names {
			found = found || r.live() != nil || r.committed != nil
		}
	})
	return found
}

// links is how many published names a file has.
func (m *model) links(e *entry) (n int) {
	m.root.below("", func(_ string, other *entry) {
		if other == e {
			n++
		}
	})
	return n
}

// touch is any change of what an entry holds: its time is not what it was.
func (e *entry) touch() { e.mtime = 0 }

// forgetNumber lets a directory have another inode number from here on.
func (e *entry) forgetNumber() {
	if e.kind == 'd' {
		e.ino = 0
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
