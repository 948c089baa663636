package fs

import (
	"strings"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
)

// notifier tells the kernel what it must forget. There is one goroutine for it
// that holds no lock and that no request waits for: a notification takes locks
// of the kernel that a request may hold until it is answered.
type notifier struct {
	mu      sync.Mutex
	cond    sync.Cond
	queue   []notice
	queued  map[notice]bool
	closed  bool
	running sync.WaitGroup
}

// notice is one name (entry) or one directory (dir).
type notice struct {
	path  string // of the directory
	name  string // "" for the directory itself
	entry bool
}

func newNotifier() *notifier {
	n := &notifier{queued: map[notice]bool{}}
	n.cond.L = &n.mu
	return n
}

// Entry implements store.Notifier.
func (n *notifier) Entry(dir, name string) { n.add(notice{dir, name, true}) }

// Dir implements store.Notifier.
func (n *notifier) Dir(path string) { n.add(notice{path: path}) }

func (n *notifier) add(what notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.queued[what] {
		return
	}
	n.queued[what] = true
	n.queue = append(n.queue, what)
	n.cond.Signal()
}

func (n *notifier) start(root *fusefs.Inode, d *device) {
	n.running.Go(func() {
		if d != nil {
			defer d.close()
		}
		for {
			what, ok := n.next()
			if !ok {
				return
			}
			what.tell(root)
		}
	})
}

func (n *notifier) next() (notice, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) == 0 && !n.closed {
		n.cond.Wait()
	}
	if n.closed {
		return notice{}, false
	}
	what := n.queue[0]
	n.queue = n.queue[1:]
	delete(n.queued, what)
	return what, true
}

func (n *notifier) close() {
	n.mu.Lock()
	n.closed = true
	n.cond.Broadcast()
	n.mu.Unlock()
	n.running.Wait()
}

// tell finds the directory among the nodes that the kernel knows; one that it
// does not know has nothing to forget. Errors only say the same.
func (what notice) tell(root *fusefs.Inode) {
	dir := root
	if what.path != "" {
		for name := range strings.SplitSeq(what.path, "/") {
			if dir = dir.GetChild(name); dir == nil {
				return
			}
		}
	}
	if what.entry {
		dir.NotifyEntry(what.name)
	} else {
		dir.NotifyContent(0, 0)
	}
}
