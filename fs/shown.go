package fs

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// shown is what the kernel may know of the names in a directory. It caches every
// listing, and asks for it anew when the modification time of the directory is
// another one; what it changes itself, by the requests it sends, it knows.
//
// What changes otherwise (a file is published when it is closed, a view appears,
// the pruner takes a checkpoint) is told to it, once per listing that it was
// given, and moves that time by a nanosecond. Both are needed: a listing may be on
// its way to the kernel while it is told, and would be kept, with the time that it
// had when it was asked for.
//
// Even so the kernel may put two listings together that are on their way at once,
// one from before a change and one from after it (seen on 6.18: in the cache that
// the second began, the names of the first). So what is read to its end within a
// moment of a change is taken back before the end is answered: without it no
// listing is used again.
type shown struct {
	moves   atomic.Int64 // how often the names changed without the kernel
	changed atomic.Int64 // when they last changed through us, in ns
	given   atomic.Bool  // a listing was given since the kernel was last told

	mu       sync.Mutex
	snapshot []entry // of readers under way; nil when the last has come to the end
}

// inFlight is for how long an answer may be on its way to the kernel.
const inFlight = time.Second

// change notes that the names have changed, and reports whether the kernel has to
// be told.
func (s *shown) change() bool {
	s.moves.Add(1)
	s.touch()
	return s.given.Swap(false)
}

// touch notes that the names have changed by a request of the kernel.
func (s *shown) touch() { s.changed.Store(time.Now().UnixNano()) }

// settled reports whether all listings from before the last change have arrived.
func (s *shown) settled() bool { return time.Now().UnixNano()-s.changed.Load() > int64(inFlight) }

// time is the modification time as the kernel sees it: that of the directory, and
// a nanosecond for every move. When the user sets it, it begins anew.
func (s *shown) time(out *fuse.Attr) {
	nsec := int64(out.Mtimensec) + s.moves.Load()
	out.Mtime += uint64(nsec / 1e9)
	out.Mtimensec = uint32(nsec % 1e9)
}

func (s *shown) timeSet() { s.moves.Store(0) }

// entries are the names for a reader. One that begins sees what is there now;
// others go on in what the last one who began saw.
func (s *shown) entries(begin bool, load func() ([]entry, syscall.Errno)) ([]entry, syscall.Errno) {
	if !begin {
		s.mu.Lock()
		list := s.snapshot
		s.mu.Unlock()
		if list != nil {
			return list, 0
		}
	}
	s.given.Store(true) // before it is loaded: what changes from here on is told
	list, errno := load()
	if errno != 0 {
		return nil, errno
	}
	list = inOrder(list)
	s.mu.Lock()
	s.snapshot = list
	s.mu.Unlock()
	return list, 0
}

// end forgets the names when a reader has seen the last.
func (s *shown) end() {
	s.mu.Lock()
	s.snapshot = nil
	s.mu.Unlock()
}
