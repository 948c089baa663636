package disktest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zeebo/xxh3"

	"ckptfs/fs/store/disk"
)

// Event is one thing that happened to a disk: a change of names, a sync, or
// content that was found to have changed.
type Event struct {
	Op   disk.Op
	Call string
	Mark string // a word of the test, see Memory.Mark

	step    step
	synced  uint64
	file    uint64
	content content
}

// everything is what syncfs(2) syncs.
const everything = ^uint64(0)

// IsSync reports whether the event makes something durable.
func (e *Event) IsSync() bool { return e.synced != 0 }

// String names the event in a message.
func (e Event) String() string {
	switch {
	case e.Mark != "":
		return "(" + e.Mark + ")"
	case e.file != 0:
		return fmt.Sprintf("write %d bytes to file %d", len(e.content.data), e.file)
	}
	return string(e.Op) + " " + e.Call
}

// Recording is what happened to a disk since it was last settled.
type Recording struct {
	Events []Event

	base   tree
	files  map[uint64]content // of the base
	owners map[uint64][2]uint32
	xattrs map[uint64]map[string][]byte
}

// Recording returns what happened so far.
func (m *Memory) Recording() *Recording {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capture()
	return &Recording{
		Events: slices.Clone(m.events), base: m.base, files: m.original,
		owners: maps.Clone(m.owners), xattrs: maps.Clone(m.xattrs),
	}
}

// With is the same disk with other events: some left out, or in another order.
func (r *Recording) With(events []Event) *Recording {
	out := *r
	out.Events = events
	return &out
}

// State is one disk that a power cut may leave.
type State struct {
	Cut   int      // the number of events before it
	Marks []string // those before it

	names tree
	files map[uint64]content
	from  *Recording
}

// Disk makes the state a file system whose files lie in the empty directory pool.
func (s *State) Disk(pool string) (*Memory, error) {
	m := NewMemory(pool)
	m.live = s.names.clone()
	m.owners, m.xattrs = maps.Clone(s.from.owners), maps.Clone(s.from.xattrs)
	for ino := range s.from.owners {
		m.next = max(m.next, ino)
	}
	for ino, c := range s.files {
		if err := m.write(ino, c); err != nil {
			return nil, err
		}
	}
	m.Settle()
	return m, nil
}

// now is the present state of a disk.
func (m *Memory) now() *State {
	r := m.Recording()
	m.mu.Lock()
	defer m.mu.Unlock()
	return newState(len(r.Events), r, m.live, m.latest)
}

// newState keeps what can be reached.
func newState(cut int, r *Recording, names tree, files map[uint64]content) *State {
	s := &State{Cut: cut, names: tree{}, files: map[uint64]content{}, from: r}
	counts := map[uint64]int{}
	names.each(func(_ string, ino uint64, n *node) {
		counts[ino]++
		if n.isRegular() {
			s.files[ino] = files[ino]
		}
		s.names[ino] = n
	})
	for ino, n := range s.names {
		c := *n
		c.names = counts[ino]
		s.names[ino] = &c
	}
	return s
}

// fingerprint is equal for states that hold the same.
func (s *State) fingerprint() []byte {
	h := xxh3.New()
	s.names.each(func(p string, ino uint64, n *node) {
		c := s.files[ino]
		fmt.Fprintf(h, "%s\x00%d %o %s %o %d %d\n", p, ino, n.mode, n.target, c.mode, c.mtime.Nano(), sum(c.data))
	})
	b := h.Sum128().Bytes()
	return b[:]
}

func sum(data string) uint64 { return xxh3.HashString(data) }

// List describes the state, a line a name, for a message.
func (s *State) List() (out string) {
	s.names.each(func(p string, ino uint64, n *node) {
		if n.isRegular() {
			out += fmt.Sprintf("%6d %s %d bytes, %x\n", ino, p, len(s.files[ino].data), sum(s.files[ino].data))
		} else {
			out += fmt.Sprintf("%6d %s/\n", ino, p)
		}
	})
	return out
}
