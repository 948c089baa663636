package fs_test

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// record is one checkpoint name of a run.
type record struct {
	match layout.Match
	run   *entry // the directory that it lies in
	name  string

	committed *version    // what the views know under the name
	natural   *version    // what the backing directory holds under it
	save      *saving     // since the first change after a commit; nil without one
	may       []candidate // what was whole and closed since: each may be committed by now, none has to
	hurried   bool        // judged now, or when another save begins: it may commit at any moment
	due       bool        // a boundary: what is surely complete has to be committed
}

// candidate is a content that may be committed. Strangers, files that the layout
// does not know, hold nothing up: of one that is being written the version gets a
// copy, as it is at some moment.
type candidate struct {
	tree *entry
	open map[string]bool // strangers that were being written
}

func (c candidate) matches(got *entry) bool {
	open := func(rel string) bool { return c.open[rel] }
	return got != nil && showBut(got, open) == showBut(c.tree, open)
}

// version is one committed content of a name; it never changes.
type version struct {
	tree *entry
	of   *record // renamed aside: the name that it goes on standing for
}

// saving is what decides whether a save has to be committed at a boundary. The
// model is sure of the plain cases only: one process, still alive or gone with
// 0, that wrote each core file once, or a directory renamed into place.
type saving struct {
	fresh    bool // of a new name
	declared bool // renamed into place, and not changed since
	plain    bool // the model is sure
	by       int
	removed  bool // a name went away
	core     []string
}

func (r *record) begin(p int) {
	r.save = &saving{fresh: true, plain: true, by: p}
	r.hurryOthers()
}

// hurryOthers has the other saves of a run judged: who begins the next checkpoint
// has finished with those that he has closed.
func (r *record) hurryOthers() {
	for _, other := range r.run.names {
		other.hurried = other.hurried || other != r
	}
}

// undecided reports whether an operation would move or remove a checkpoint that
// is about to be committed: before or after, and both were right. The life waits
// for the commit then.
func (m *model) undecided(o op, quick bool) bool {
	if o.verb != "rename" && o.verb != "rmdir" && o.verb != "rmtree" {
		return false
	}
	found := false
	for _, name := range o.args {
		at, err := m.walk(o.proc, name)
		if err == nil && m.isName(at) {
			r := m.recordOf(at)
			found = found || len(r.may) > 0 && (quick || r.hurried)
		}
	}
	return found
}

// changed notes a change below a checkpoint.
func (m *model) changed(at place, p int) *saving {
	r := at.in
	if r == nil {
		return nil
	}
	if r.save == nil {
		r.save = &saving{plain: true, by: p}
	}
	r.hurryOthers()
	r.hurried = r.hurried || len(r.may) > 0 // the change may begin another attempt, which seals the one before
	// What is whole may have been committed a moment ago, or not: the change
	// belongs to that save or to the next.
	r.save.plain = r.save.plain && r.save.by == p && len(r.may) == 0 && !r.save.declared
	return r.save
}

// wrote notes an entry that was published.
func (m *model) wrote(at place, p int) {
	s := m.changed(at, p)
	if s == nil {
		return
	}
	if file, top := path.Base(at.name), at.dir == at.in.live(); top && slices.Contains(checkpointFiles, file) {
		s.plain = s.plain && !slices.Contains(s.core, file)
		s.core = append(s.core, file)
	}
	m.mayCommit(at.in)
}

// removed notes a name that went away; unclear, what is decided another day.
func (m *model) removed(at place, p int) {
	if s := m.changed(at, p); s != nil {
		s.removed = true
		m.unclear(at)
		m.mayCommit(at.in)
	}
}

// removing reports whether files were removed of a checkpoint that is none now.
func (m *model) removing() bool {
	found := false
	m.eachRecord(func(_ string, r *record) {
		dir := r.live()
		found = found || dir != nil && r.save != nil && r.save.removed && !m.whole(r, dir)
	})
	return found
}

func (m *model) unclear(at place) {
	if at.in != nil && at.in.save != nil {
		at.in.save.plain = false
	}
}

// renamed notes what a rename brought.
func (m *model) renamed(at place, e *entry, p int) {
	if m.changed(at, p) != nil {
		m.unclear(at)
		m.mayCommit(at.in)
	}
	if e.kind == 'd' && m.isName(at) {
		m.mayCommit(m.recordOf(at))
	}
}

// replaced makes a plain directory the content of a name: whole, by the
// trainer's word. What the name had committed stays until that is.
func (r *record) replaced(p int) {
	r.save = &saving{declared: true, plain: true, by: p}
	r.hurried = true
	r.hurryOthers()
}

// conclude is what the removal or the replacement of a name has committed
// before: whatever is complete in the rest of the run.
func (m *model) conclude(run *entry, name string) {
	for other, r := range run.names {
		r.due = r.due || other != name
	}
}

// forget takes a name out of the views. A version that was renamed aside stays:
// of the backup that is removed, and of the name that has no successor.
func (r *record) forget() {
	if r.natural != nil {
		r.committed = nil
	}
	r.natural, r.save, r.may = nil, nil, nil
}

// leave is forget for a checkpoint that becomes a plain directory: its version
// stands for nothing any more.
func (r *record) leave() {
	if v := r.natural; v != nil && v.of != nil {
		v.of.committed = nil
	}
	r.forget()
}

// died notes the end of a process: a save of one that ended badly waits.
func (m *model) died(p int, clean bool) {
	m.eachRecord(func(_ string, r *record) {
		if r.save != nil && r.save.by == p && !clean {
			r.save.plain = false
		}
	})
	m.root.below("", func(_ string, e *entry) {
		for _, d := range e.drafts {
			delete(d.openers, p)
		}
	})
}

// live is the directory under a name; nil when there is none.
func (r *record) live() *entry {
	if e := r.run.kids[r.name]; e != nil && e.kind == 'd' {
		return e
	}
	return nil
}

// mayCommit notes the content of a save that is whole and that nobody writes to.
func (m *model) mayCommit(r *record) {
	dir := r.live()
	if dir == nil || r.save == nil || m.writable(dir) || !m.whole(r, dir) {
		return
	}
	if r.natural != nil && same(r.natural.tree, dir) {
		// It changed nothing in the end: it may be dropped, and the files of the
		// version are back. Attributes are kept, inode numbers are not.
		dir.below("", func(_ string, e *entry) { e.loose = true })
	}
	open := map[string]bool{}
	dir.below("", func(rel string, e *entry) {
		for name := range e.drafts {
			open[path.Join(rel, name)] = true
		}
	})
	n := len(r.may)
	switch {
	case n > 0 && same(r.may[n-1].tree, dir):
		maps.Copy(r.may[n-1].open, open)
		loosen(r.may[n-1].tree, dir)
		return
	case n == 0 && r.natural != nil && same(r.natural.tree, dir) && len(open) == 0:
		return
	}
	r.may = append(r.may, candidate{snapshot(dir), open})
	m.everWhole[m.showOwn(dir)] = true
}

// loosen says of files that were written again as they were in a version that may
// be committed that their numbers may be those of that.
func loosen(before, dir *entry) {
	for name, kid := range dir.kids {
		switch was := before.kids[name]; {
		case was == nil:
		case kid.kind == 'd':
			loosen(was, kid)
		case was != kid:
			kid.loose = true
		}
	}
}

// showOwn is show without strangers.
func (m *model) showOwn(dir *entry) string { return showBut(dir, m.stranger) }

func (m *model) stranger(rel string) bool { return m.layout.Stranger(layout.Dir, rel) }

// writable reports whether a process can still write to a file below dir that is
// no stranger.
func (m *model) writable(dir *entry) bool {
	found := false
	dir.below("", func(rel string, e *entry) {
		for name, d := range e.drafts {
			closed := d.visible && !slices.ContainsFunc(d.handles, func(h *handle) bool { return !h.flushed })
			found = found || !closed && !m.stranger(path.Join(rel, name))
		}
		for _, fds := range m.open {
			for _, h := range fds {
				found = found || h.file == e && h.draft == nil && h.flags != "r" && !m.stranger(rel)
			}
		}
	})
	return found
}

// surely reports whether a save has to be committed at a boundary.
func (m *model) surely(r *record) bool {
	s, dir := r.save, r.live()
	if s == nil || dir == nil || !s.plain || m.writable(dir) || dir.writing() || !m.whole(r, dir) {
		return false
	}
	return s.fresh || s.declared || len(s.core) == len(checkpointFiles)
}

// boundary is an unmount, or the command to settle: for every name.
func (m *model) boundary() { m.eachRecord(func(_ string, r *record) { r.due = true }) }

// synced is fsync of a directory: a boundary for the checkpoint that it lies in,
// or for those of the run that it is.
func (m *model) synced(p int, name string) error {
	at, e, err := m.find(p, name)
	switch {
	case err != nil:
		return err
	case e.kind != 'd':
		return unix.ENOTDIR
	}
	if at.in != nil {
		m.due(at.in)
	} else if m.isName(at) {
		m.due(m.recordOf(at))
	}
	for _, name := range sortedKeys(e.names) {
		m.due(e.names[name])
	}
	return nil
}

// due is an fsync of a checkpoint. A file that was closed is waited for if it is
// held open all the same; then the checkpoint gets a copy, and who holds it goes
// on with a file that has no name.
func (m *model) due(r *record) {
	r.due = true
	dir := r.live()
	if dir == nil {
		return
	}
	dir.below("", func(rel string, e *entry) {
		for _, name := range sortedKeys(e.drafts) {
			d := e.drafts[name]
			open := slices.ContainsFunc(d.handles, func(h *handle) bool { return !h.flushed })
			if !d.visible || open || len(d.handles) == 0 || m.stranger(path.Join(rel, name)) {
				continue
			}
			own := *d.file
			own.ino, own.shared = 0, false
			e.kids[name] = &own
			for _, h := range d.handles {
				h.draft = nil
			}
			m.wrote(place{dir: e, name: name, in: r}, d.handles[0].proc)
			m.abandon(e, name)
		}
	})
}

// eachRecord calls f for every checkpoint name of the life, with its path.
func (m *model) eachRecord(f func(name string, r *record)) {
	m.root.below("", func(rel string, e *entry) {
		for _, name := range sortedKeys(e.names) {
			f(path.Join(rel, name), e.names[name])
		}
	})
}

// checkpointOf is the checkpoint that a directory lies in.
func (m *model) checkpointOf(dir *entry) (found *record) {
	m.eachRecord(func(_ string, r *record) {
		if live := r.live(); live != nil {
			live.below("", func(_ string, e *entry) {
				if e == dir {
					found = r
				}
			})
		}
	})
	return found
}

// observe compares what the backing directory holds under a name with what may
// be there, and takes note of a commit. nil is nothing.
func (m *model) observe(name string, r *record, got *entry) error {
	was := r.natural
	if !(got == nil && was == nil || got != nil && was != nil && same(got, was.tree)) {
		i := slices.IndexFunc(r.may, func(c candidate) bool { return same(got, c.tree) })
		if i < 0 {
			i = slices.IndexFunc(r.may, func(c candidate) bool { return c.matches(got) })
		}
		if i < 0 {
			var trees []*entry
			for _, c := range r.may {
				trees = append(trees, c.tree)
			}
			return fmt.Errorf("the backing directory holds %s as %s; it is %s, and may have become %s",
				name, show(got), show(was.content()), showAll(trees))
		}
		for _, other := range r.run.names {
			if v := other.natural; v != nil && v.of == r {
				v.of = nil // it was renamed aside, and has its successor
			}
		}
		r.natural = &version{tree: r.may[i].tree}
		if !same(got, r.natural.tree) {
			r.natural.tree = got // with copies of strangers
		}
		r.committed = r.natural
		r.may = r.may[i+1:]
		r.hurried = false
		r.run.touch() // the directory of a run changes when a checkpoint is committed
		if live := r.live(); live != nil && same(live, got) && !live.writing() {
			r.save = nil
		}
	}
	if r.due && m.surely(r) && !same(r.live(), r.natural.content()) {
		return fmt.Errorf("%s is complete and there was a boundary; it is not committed", name)
	}
	r.due = false
	return nil
}

func (v *version) content() *entry {
	if v == nil {
		return nil
	}
	return v.tree
}

// remounted is what a mount does to names, after a crash as well: a version that
// was renamed aside and has no successor gets its name back. Who goes on with an
// unfinished save begins a new attempt.
// backing and live tell how it turned out where both are right.
func (m *model) remounted(backing func(name string) *entry, live func(name string) bool) {
	m.eachRecord(func(name string, r *record) {
		if v := r.natural; v != nil && v.of != nil && v.of.natural == nil {
			v.of.committed = v // a file had its name, for one mount or more
		}
	})
	m.eachRecord(func(name string, r *record) {
		if r.save != nil {
			r.save.plain = false
			m.mayCommit(r)
		}
		v := r.committed
		if v == nil || r.natural != nil {
			return
		}
		if e := r.run.kids[r.name]; e != nil && e.kind != 'd' {
			r.committed = nil // a file has the name: the backup is a checkpoint of its own as long
			return
		}
		if got := backing(name); got != nil && !same(got, v.tree) {
			return // its successor was committed first
		}
		for _, other := range r.run.names { // the backup, if it is still there
			if other.natural != v || backing(path.Join(path.Dir(name), other.name)) != nil {
				continue
			}
			other.natural, other.committed = nil, nil
			if live(path.Join(path.Dir(name), other.name)) {
				continue // the backup has a save of its own, which stays as it is
			}
			if r.live() == nil {
				r.run.kids[r.name] = r.run.kids[other.name]
			}
			delete(r.run.kids, other.name)
		}
		if r.live() == nil {
			r.run.kids[r.name] = snapshot(v.tree)
			r.run.kids[r.name].below("", func(_ string, e *entry) {
				e.ino, e.loose = 0, true // another save may have had the same content, and shares it
				if e.kind == 'd' {
					e.mode, e.mtime = 0, 0 // as it was changed in place since
				}
			})
		}
		r.natural, v.of = v, nil
		r.run.touch()
	})
	m.root.below("", func(_ string, e *entry) { e.forgetNumber() }) // they are for one mount
}

// snapshot copies a tree; the files are shared, for what is published is never
// written to again.
func snapshot(e *entry) *entry {
	e.shared = true
	if e.kind != 'd' {
		return e
	}
	own := newDir(e.mode)
	own.mtime = e.mtime
	for name, kid := range e.kids {
		own.kids[name] = snapshot(kid)
	}
	return own
}
