package fs

import (
	"slices"
	"strings"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// A request names a node, and the store is asked by path. Between the two a
// rename could give the path to somebody else's file: a user who renames what is
// his and what is not in turn, while he works on his own, had root's directory
// opened to him, and emptied (seen, some hundred times a minute). So a path is
// held from when it is taken from the nodes until the request is answered, and a
// rename waits for those who hold what it moves; the kernel keeps the directories
// that the names are in from changing meanwhile.
//
// Those who find a rename under way wait for it. A rename waits only for requests
// that came before it, and it has let the store bring to its end what it would
// wait for there.
type paths struct {
	mu      sync.Mutex
	changed sync.Cond
	held    map[string]int // paths that requests are at work on
	moving  []string       // the old and the new names of the renames under way
}

func newPaths() *paths {
	p := &paths{held: map[string]int{}}
	p.changed.L = &p.mu
	return p
}

// under reports whether p is dir or lies below it.
func under(p, dir string) bool {
	return p == dir || dir == "" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// isMoving reports whether a rename moves p. Needs mu.
func (h *paths) isMoving(p string) bool {
	return slices.ContainsFunc(h.moving, func(at string) bool { return under(p, at) })
}

// hold takes the paths of live nodes, and keeps them true until release is
// called. ok is false when one has lost its name; then nothing is held.
func (m *mount) hold(nodes ...*fusefs.Inode) (at []string, release func(), ok bool) {
	return m.paths.hold(func() (at []string, ok bool) {
		for _, n := range nodes {
			p, named := m.pathOf(n)
			if !named {
				return make([]string, len(nodes)), false
			}
			at = append(at, p)
		}
		return at, true
	})
}

// holdName is hold for a directory and a name in it that is looked up. The kernel
// looks up what it remembers without locking the directory, and go-fuse would
// enter the node under a name that a rename has just taken away.
func (m *mount) holdName(d *dir, name string) (p string, release func(), ok bool) {
	at, release, ok := m.paths.hold(func() ([]string, bool) {
		p, named := m.pathOf(d.EmbeddedInode())
		return []string{p, join(p, name)}, named
	})
	return at[0], release, ok
}

func (h *paths) hold(take func() ([]string, bool)) (at []string, release func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if at, ok = take(); !ok {
			return at, func() {}, false
		}
		if !slices.ContainsFunc(at, h.isMoving) {
			break
		}
		h.changed.Wait()
	}
	for _, p := range at {
		h.held[p]++
	}
	return at, func() { h.release(at) }, true
}

func (h *paths) release(at []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range at {
		if h.held[p]--; h.held[p] == 0 {
			delete(h.held, p)
		}
	}
	h.changed.Broadcast()
}

// holdBoth is hold for a rename from one directory to another. It returns when
// nobody else is at work on either name, or below it.
func (m *mount) holdBoth(d, to *dir, name, newName string) (p, q string, release func(), errno syscall.Errno) {
	h := m.paths
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for {
		var ok1, ok2 bool
		p, ok1 = m.pathOf(d.EmbeddedInode())
		q, ok2 = m.pathOf(to.EmbeddedInode())
		if !ok1 || !ok2 {
			return "", "", nil, syscall.ENOENT
		}
		names = []string{join(p, name), join(q, newName)}
		// Another rename above, below or beside goes first.
		if !slices.ContainsFunc(names, h.isMoving) && !slices.ContainsFunc(h.moving, func(other string) bool {
			return under(other, names[0]) || under(other, names[1])
		}) {
			break
		}
		h.changed.Wait()
	}
	h.moving = append(h.moving, names...)
	h.held[p]++
	h.held[q]++
	for h.busy(names) {
		h.changed.Wait()
	}
	return p, q, func() {
		h.mu.Lock()
		for _, n := range names {
			i := slices.Index(h.moving, n)
			h.moving = slices.Delete(h.moving, i, i+1)
		}
		h.mu.Unlock()
		h.release([]string{p, q})
	}, 0
}

// busy reports whether a request is at work on one of the names, or below it.
// Needs mu.
func (h *paths) busy(names []string) bool {
	for at := range h.held {
		if under(at, names[0]) || under(at, names[1]) {
			return true
		}
	}
	return false
}

// ending keeps the releases of requests after which go-fuse enters or moves nodes,
// which it does when the handler has returned. The channel of the request tells
// them apart.
type ending struct {
	mu   sync.Mutex
	list map[<-chan struct{}][]func()
}

func (e *ending) add(request <-chan struct{}, release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.list == nil {
		e.list = map[<-chan struct{}][]func(){}
	}
	e.list[request] = append(e.list[request], release)
}

func (e *ending) end(request <-chan struct{}) {
	e.mu.Lock()
	list := e.list[request]
	delete(e.list, request)
	e.mu.Unlock()
	for _, release := range list {
		release()
	}
}
