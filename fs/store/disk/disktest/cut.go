package disktest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Model says which changes a power cut may keep while it loses others.
type Model int

const (
	// InOrder keeps the changes of names in their order, as the journals of ext4
	// (data=ordered) and XFS do: some number of the first, all up to the last that
	// a sync has forced out. Content that was not synced may be lost or cut short.
	InOrder Model = iota
	// AnyOrder is the contract of disk.Disk and no more, which is what the log
	// tree of btrfs, or data=writeback, come close to: only the changes of one
	// directory, and of one inode, stay in their order, a sync of a file is for
	// its content alone, and space may be there before the data.
	AnyOrder
)

// Models are all of them.
var Models = []Model{InOrder, AnyOrder}

// String names the model.
func (m Model) String() string {
	return [...]string{"names in order", "any order"}[m]
}

// Cuts calls f for every different state that a cut at any moment from the given
// number of events on may leave, until it returns false. Where the changes that were not synced are too many
// to try every combination, it takes those in which one of them differs from
// all the others, and some by chance, the same each time.
func (r *Recording) Cuts(m Model, from int, f func(*State) bool) {
	seen := map[string]bool{}
	x := newExplorer(r, m)
	for cut := 0; cut <= len(r.Events); cut++ {
		if cut > 0 {
			x.advance(&r.Events[cut-1])
		}
		if cut < from {
			continue
		}
		more := x.states(func(s *State) bool {
			s.Cut, s.Marks = cut, slices.Clone(x.marks)
			print := string(s.fingerprint()) + strings.Join(x.marks, "\x00")
			if seen[print] {
				return true
			}
			seen[print] = true
			return f(s)
		})
		if !more {
			return
		}
	}
}

// explorer goes through a recording, and knows what is durable at each moment.
type explorer struct {
	r      *Recording
	model  Model
	chance *rand.Rand

	full    tree       // everything that happened, kept or not
	changes [][]change // of each event that changed names, so far
	durable []bool     // whether a sync has made it so
	now     map[uint64]content
	synced  map[uint64]content
	marks   []string
}

func newExplorer(r *Recording, m Model) *explorer {
	x := &explorer{
		r: r, model: m, chance: rand.New(rand.NewPCG(1, 2)), full: r.base.clone(),
		now: map[uint64]content{}, synced: map[uint64]content{},
	}
	for ino, c := range r.files {
		x.now[ino], x.synced[ino] = c, c
	}
	return x
}

// advance takes one more event.
func (x *explorer) advance(e *Event) {
	switch {
	case e.Mark != "":
		x.marks = append(x.marks, e.Mark)
	case e.file != 0:
		x.now[e.file] = e.content
	case e.step != nil:
		changes, err := e.step(x.full)
		if err != nil {
			return // in another order than it was recorded in, it cannot be done
		}
		x.full.apply(changes)
		x.changes = append(x.changes, changes)
		x.durable = append(x.durable, false)
	case e.synced == everything:
		maps.Copy(x.synced, x.now)
		for i := range x.durable {
			x.durable[i] = true
		}
	case e.synced != 0:
		if c, ok := x.now[e.synced]; ok {
			x.synced[e.synced] = c
		}
		x.force(e.synced)
	}
}

// force makes changes of names durable by a sync of an inode.
func (x *explorer) force(ino uint64) {
	if x.model == InOrder {
		for i := len(x.changes) - 1; i >= 0; i-- {
			if contains(x.changes[i], ino) || named(x.changes[i], ino) {
				for j := range i + 1 {
					x.durable[j] = true
				}
				return
			}
		}
		return
	}
	for i, c := range x.changes {
		x.durable[i] = x.durable[i] || contains(c, ino)
	}
	x.close(x.durable)
}

// contains reports whether changes are of a directory, named whether they are
// of an inode's own names.
func contains(changes []change, dir uint64) bool {
	return slices.ContainsFunc(changes, func(c change) bool { return c.dir == dir })
}

func named(changes []change, ino uint64) bool {
	return slices.ContainsFunc(changes, func(c change) bool { return c.ino == ino || c.was == ino })
}

// close adds what has to be there too: the earlier changes of the same
// directories and of the same inodes.
func (x *explorer) close(kept []bool) {
	dirs, inodes := map[uint64]bool{}, map[uint64]bool{}
	for i := len(kept) - 1; i >= 0; i-- {
		for _, c := range x.changes[i] {
			kept[i] = kept[i] || dirs[c.dir] || inodes[c.ino] && c.ino != 0 || inodes[c.was] && c.was != 0
		}
		if !kept[i] {
			continue
		}
		for _, c := range x.changes[i] {
			dirs[c.dir], inodes[c.ino], inodes[c.was] = true, true, true
		}
	}
}

// states calls f for the states that a cut may leave now.
func (x *explorer) states(f func(*State) bool) bool {
	for _, kept := range x.kept() {
		names := x.build(kept)
		for _, files := range x.contents(names) {
			if !f(newState(0, x.r, names, files)) {
				return false
			}
		}
	}
	return true
}

// few is up to how many changes all combinations are tried.
const few = 6

// kept lists the sets of changes of names that may survive together.
func (x *explorer) kept() (sets [][]bool) {
	var open []int
	for i, d := range x.durable {
		if !d {
			open = append(open, i)
		}
	}
	add := func(choose func(n int) bool) {
		set := slices.Clone(x.durable)
		for n, i := range open {
			set[i] = choose(n)
		}
		if x.model == AnyOrder {
			x.close(set)
		}
		sets = append(sets, set)
	}
	if x.model == InOrder {
		for n := range len(open) + 1 {
			add(func(i int) bool { return i < n })
		}
		return sets
	}
	if len(open) <= few {
		for bits := range 1 << len(open) {
			add(func(n int) bool { return bits>>n&1 != 0 })
		}
		return sets
	}
	add(func(int) bool { return false })
	add(func(int) bool { return true })
	for only := range open {
		add(func(n int) bool { return n == only })
		add(func(n int) bool { return n < only })
	}
	for range 8 {
		add(func(int) bool { return x.chance.IntN(2) == 0 })
	}
	return sets
}

// build makes the names of a set of changes.
func (x *explorer) build(kept []bool) tree {
	names := x.r.base.clone()
	for ino, n := range x.full {
		if names[ino] == nil {
			c := *n
			c.names = 0
			if c.isDir() {
				c.entries = map[string]uint64{}
			}
			names[ino] = &c
		}
	}
	for i, changes := range x.changes {
		if kept[i] {
			names.apply(changes)
		}
	}
	return names
}

// contents lists what the files may hold. A file that was synced since it was
// written holds that; of the others, each may be as it was written, as it was
// synced before, or in between.
func (x *explorer) contents(names tree) (out []map[uint64]content) {
	var open []uint64
	base := map[uint64]content{}
	names.each(func(_ string, ino uint64, n *node) {
		if _, known := base[ino]; known || !n.isRegular() {
			return
		}
		now, ok := x.now[ino]
		if !ok {
			now.mode = 0o600
		}
		if was, synced := x.synced[ino]; !synced || was != now {
			open = append(open, ino)
		}
		base[ino] = now
	})
	slices.Sort(open)
	add := func(choose func(i int) damage) {
		files := make(map[uint64]content, len(base))
		for ino, c := range base {
			files[ino] = c
		}
		for i, ino := range open {
			files[ino] = choose(i)(base[ino], x.synced[ino])
		}
		out = append(out, files)
	}
	add(func(int) damage { return intact })
	if len(open) == 0 {
		return out
	}
	kinds := []damage{lost, half}
	if x.model == AnyOrder {
		kinds = append(kinds, zeros)
	}
	for _, kind := range kinds {
		add(func(int) damage { return kind })
	}
	if len(open) == 1 {
		return out
	}
	for one := range open {
		add(func(i int) damage { return map[bool]damage{true: half, false: intact}[i == one] })
		add(func(i int) damage { return map[bool]damage{true: intact, false: lost}[i == one] })
	}
	return out
}

// damage is what a cut does to content that was not synced.
type damage func(now, synced content) content

func intact(now, _ content) content { return now }

func lost(now, synced content) content {
	if synced == (content{}) {
		now.data = ""
		return now
	}
	return synced
}

func half(now, _ content) content {
	now.data = now.data[:len(now.data)/2]
	return now
}

func zeros(now, _ content) content {
	now.data = strings.Repeat("\x00", len(now.data))
	return now
}
