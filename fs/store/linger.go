package store

import (
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An open is two requests, a look-up and an open, and a rename may replace the
// file in between, twice in a row when a file is replaced all the time. On ext4
// the reader gets the one or the other; so what a rename replaces can still be
// opened for a moment by whoever has looked it up.
const (
	lingering   = time.Second
	lingererMax = 128
)

type lingerers struct {
	mu    sync.Mutex
	files map[Ident]*os.File
}

// linger keeps hold of the regular file at a backing path that is about to be
// replaced. It costs one open, and nothing when there is no file.
func (s *Store) linger(p string) {
	f, err := s.disk.Open("linger", p, unix.O_PATH, 0)
	if err != nil {
		return
	}
	st, err := s.disk.Fstat(f)
	if err != nil || !st.IsRegular() {
		f.Close()
		return
	}
	id := s.identities.of(&st)
	l := &s.lingerers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files == nil {
		l.files = map[Ident]*os.File{}
	}
	if len(l.files) >= lingererMax || l.files[id] != nil {
		f.Close()
		return
	}
	l.files[id] = f
	s.clock.AfterFunc(lingering, func() { l.drop(id) })
}

func (l *lingerers) drop(id Ident) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.files[id]; f != nil {
		f.Close()
		delete(l.files, id)
	}
}

// open opens a file that lingers, for reading only.
func (l *lingerers) open(id Ident) (*os.File, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[id]
	if f == nil {
		return nil, false
	}
	g, err := os.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	return g, err == nil
}

// openReplaced opens for reading a file that had its name until a moment ago.
func (s *Store) openReplaced(id Ident, flags int) (*File, bool) {
	if opensForWriting(flags) {
		return nil, false
	}
	f, ok := s.lingerers.open(id)
	return &File{File: f, Ident: id, store: s}, ok
}

// OpenNameless opens a file of which no name is known.
func (s *Store) OpenNameless(id Ident, flags int, c Caller) (*File, error) {
	if f, ok := s.openReplaced(id, flags); ok {
		return f, nil
	}
	return nil, s.Nameless(c.TID, opensForWriting(flags), flags&unix.O_TRUNC != 0)
}
