package fs

import (
	"strings"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fs"

	"ckptfs/fs/store"
)

// notifier tells the kernel what it must forget. There is one goroutine for it
// that holds no lock and that no request waits for.
//
// It never sends FUSE_NOTIFY_INVAL_ENTRY or _DELETE: they wait, in a way that
// not even SIGKILL ends, for the lock of the directory, and a request holds that
// until it is answered. If the daemon is killed at such a moment neither can
// go on: the writer and the daemon hang for ever (seen on 6.18, twice in a
// hundred kills). Names that may come to mean something else have no lifetime
// instead, and FUSE_NOTIFY_PRUNE, which takes no such lock, lets the kernel
// forget the nodes of a view that nobody uses any more.
type notifier struct {
	mu      sync.Mutex
	cond    sync.Cond
	queue   []notice
	queued  map[notice]bool
	closed  bool
	running sync.WaitGroup
}

// notice is about one directory or file, one name in a directory, or one version.
type notice struct {
	path    string // of the directory, or of the file
	name    string
	about   subject
	version *store.Version // all that is known of it; nil for names and directories
}

type subject int

const (
	content    subject = iota // of the directory itself
	entry                     // what the name leads to
	attributes                // of what lies there
)

func newNotifier() *notifier {
	n := &notifier{queued: map[notice]bool{}}
	n.cond.L = &n.mu
	return n
}

// Entry implements store.Notifier.
func (n *notifier) Entry(dir, name string) { n.add(notice{path: dir, name: name, about: entry}) }

// Attributes implements store.Notifier.
func (n *notifier) Attributes(dir, name string) {
	n.add(notice{path: dir, name: name, about: attributes})
}

// Dir implements store.Notifier.
func (n *notifier) Dir(path string) { n.add(notice{path: path}) }

// Version implements store.Notifier.
func (n *notifier) Version(v *store.Version) { n.add(notice{version: v}) }

// File implements store.Notifier.
func (n *notifier) File(path string) { n.add(notice{path: path}) }

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

func (n *notifier) start(root *fusefs.Inode, known *known) {
	n.running.Go(func() {
		for {
			what, ok := n.next()
			if !ok {
				return
			}
			what.tell(root, known)
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
func (what notice) tell(root *fusefs.Inode, known *known) {
	if what.version != nil {
		if nodes := known.of(what.version); len(nodes) > 0 {
			root.NotifyPrune(nodes)
		}
		return
	}
	dir := root
	if what.path != "" {
		for name := range strings.SplitSeq(what.path, "/") {
			if dir = dir.GetChild(name); dir == nil {
				return
			}
		}
	}
	node := dir.GetChild(what.name)
	switch {
	case what.about == content:
		dir.NotifyContent(0, 0)
	case node == nil:
	case what.about == entry:
		dir.NotifyPrune(below(node, nil))
	case what.about == attributes:
		for _, n := range below(node, nil) {
			n.NotifyContent(-1, 0) // what is cached of the content stays
		}
	}
}

// below lists a node and all that are known below it, the innermost first: a
// directory can be forgotten once nothing in it is remembered.
func below(n *fusefs.Inode, list []*fusefs.Inode) []*fusefs.Inode {
	for _, child := range n.Children() {
		list = below(child, list)
	}
	return append(list, n)
}
