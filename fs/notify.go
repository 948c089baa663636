package fs

import (
	"strings"
	"sync"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"

	"ckptfs/fs/store"
)

// notifier tells the kernel what it must forget. There is one goroutine for it
// that holds no lock. A request waits for it only when it has changed a listing
// that the kernel was given: whoever is answered finds what he has done.
//
// It never sends FUSE_NOTIFY_INVAL_ENTRY or _DELETE: they wait, in a way that
// not even SIGKILL ends, for the lock of the directory, and a request holds that
// until it is answered. If the daemon is killed at such a moment neither can
// go on: the writer and the daemon hang for ever (seen on 6.18, twice in a
// hundred kills). Names that may come to mean something else have no lifetime
// instead, or they lead to a directory, whose attributes are taken back: without
// them no path leads through it. And FUSE_NOTIFY_PRUNE, which takes no such lock,
// lets the kernel forget the nodes that nobody uses any more.
type notifier struct {
	known *known

	mu       sync.Mutex
	cond     sync.Cond // listings were told of
	root     *fusefs.Inode
	queue    []notice
	queued   map[notice]bool
	late     []lateNotice
	wake     chan struct{}   // something is there for the goroutine
	listings []*fusefs.Inode // directories whose names have changed: they go first
	asked    int             // how many of them there were ever
	told     int             // and of how many the kernel knows
	closed   bool
	running  sync.WaitGroup
}

// notice is about one file, one name in a directory, or one version.
type notice struct {
	path    string // of the directory of the name, or of the file
	name    string
	about   subject
	version *store.Version // all that is known of it; nil for names and directories
}

// lateNotice is told once more at a time: an answer from before the change may have
// been on its way to the kernel when it was told, and be believed for long.
type lateNotice struct {
	notice
	at time.Time
}

type subject int

const (
	content    subject = iota // of the file itself
	meaning                   // what the name leads to
	attributes                // of what lies there
)

func newNotifier() *notifier {
	n := &notifier{queued: map[notice]bool{}, wake: make(chan struct{}, 1)}
	n.cond.L = &n.mu
	return n
}

// Entry implements store.Notifier. The name may have come or gone.
func (n *notifier) Entry(dir, name string) {
	n.Names(dir)
	n.add(notice{path: dir, name: name, about: meaning})
}

// Attributes implements store.Notifier.
func (n *notifier) Attributes(dir, name string) {
	n.add(notice{path: dir, name: name, about: attributes})
}

// Dir implements store.Notifier. What changes a checkpoint at once may change all
// directories in it.
func (n *notifier) Dir(path string) {
	if at := n.node(path); at == nil {
		return
	} else if d, ok := at.Operations().(*dir); ok && d.ofCheckpoint() {
		n.changed(below(at, nil)...)
	} else {
		n.changed(at)
	}
}

// Names implements store.Notifier.
func (n *notifier) Names(dir string) {
	if at := n.node(dir); at != nil {
		n.changed(at)
	}
}

// node is the node of a path, nil when the kernel has not asked for it.
func (n *notifier) node(path string) *fusefs.Inode {
	n.mu.Lock()
	root := n.root
	n.mu.Unlock()
	if root == nil {
		return nil
	}
	return find(root, path)
}

// changed notes that names in some directories have changed.
func (n *notifier) changed(nodes ...*fusefs.Inode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for _, node := range nodes {
		// In one step: who comes second awaits what the first has found.
		if d, ok := node.Operations().(interface{ change() bool }); ok && d.change() {
			n.listings = append(n.listings, node)
			n.asked++
			n.rouse()
		}
	}
}

// await returns when the kernel knows of every listing that has changed so far.
func (n *notifier) await() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for want := n.asked; n.told < want && !n.closed; {
		n.cond.Wait()
	}
}

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
	n.rouse()
}

// rouse wakes the goroutine. Needs mu.
func (n *notifier) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) start(root *fusefs.Inode, known *known) {
	n.mu.Lock()
	n.root, n.known = root, known
	n.mu.Unlock()
	n.running.Go(func() {
		late := time.NewTimer(0)
		defer late.Stop()
		for {
			tell, wait, closed := n.next()
			switch {
			case closed:
				return
			case tell != nil:
				tell()
				continue
			}
			late.Reset(wait)
			select {
			case <-n.wake:
			case <-late.C:
			}
		}
	})
}

// next is what there is to tell, or how long to wait for it if nothing comes.
func (n *notifier) next() (tell func(), wait time.Duration, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return nil, 0, true
	case len(n.listings) > 0:
		nodes := n.listings
		n.listings = nil
		return func() { n.tellListings(nodes) }, 0, false
	case len(n.queue) > 0:
		what := n.queue[0]
		n.queue = n.queue[1:]
		delete(n.queued, what)
		if what.about == meaning {
			n.late = append(n.late, lateNotice{what, time.Now().Add(inFlight)})
		}
		return func() { what.tell(n.root, n.known) }, 0, false
	case len(n.late) == 0:
		return nil, time.Hour, false
	}
	what := n.late[0]
	if wait := time.Until(what.at); wait > 0 {
		return nil, wait, false
	}
	n.late = n.late[1:]
	return func() { what.tell(n.root, n.known) }, 0, false
}

func (n *notifier) tellListings(nodes []*fusefs.Inode) {
	for _, node := range nodes {
		node.NotifyContent(0, 0)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told += len(nodes)
	n.cond.Broadcast()
}

func (n *notifier) close() {
	n.mu.Lock()
	n.closed = true
	n.cond.Broadcast()
	n.rouse()
	n.mu.Unlock()
	n.running.Wait()
}

// find is the node of a path, nil when the kernel does not know it.
func find(root *fusefs.Inode, path string) *fusefs.Inode {
	at := root
	if path != "" {
		for name := range strings.SplitSeq(path, "/") {
			if at = at.GetChild(name); at == nil {
				return nil
			}
		}
	}
	return at
}

// tell finds what it is about among the nodes that the kernel knows; what it does
// not know it has not to forget. Errors only say the same.
func (what notice) tell(root *fusefs.Inode, known *known) {
	if what.version != nil {
		if nodes := known.of(what.version); len(nodes) > 0 {
			root.NotifyPrune(nodes)
		}
		return
	}
	node := find(root, what.path)
	if node != nil && what.about != content {
		node = node.GetChild(what.name)
	}
	if node == nil {
		return
	}
	if what.about == content {
		node.NotifyContent(0, 0)
		return
	}
	nodes := below(node, nil)
	for _, n := range nodes {
		n.NotifyContent(-1, 0) // what is cached of the content stays
	}
	if what.about == meaning {
		node.NotifyPrune(nodes)
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
