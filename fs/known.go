package fs

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"

	"ckptfs/fs/store"
)

// known are the nodes of views that the kernel knows, by version. Each of them
// keeps its version on disk. The tree of nodes would not do: a reader that has a
// view open while it moves leaves nodes behind that hang on no name any more, and
// the kernel remembers them until it needs the memory.
type known struct {
	mu    sync.Mutex
	nodes map[*store.Version]map[*fusefs.Inode]holding
}

// holding is one node that keeps a version.
type holding struct {
	depth int
	since time.Time
}

// stray is how long after it was made a node that is in no tree was never used:
// go-fuse had another for the same file, and never says that it forgets this one.
const stray = 100 * time.Millisecond

func (k *known) add(v *store.Version, n *fusefs.Inode, rel string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	of := k.nodes[v]
	if of == nil {
		of = map[*fusefs.Inode]holding{}
		if k.nodes == nil {
			k.nodes = map[*store.Version]map[*fusefs.Inode]holding{}
		}
		k.nodes[v] = of
	}
	if _, there := of[n]; !there {
		of[n] = holding{depth(rel), time.Now()}
		v.Hold()
	}
}

func (k *known) remove(v *store.Version, n *fusefs.Inode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(v, n)
}

// drop ends a holding. Needs mu.
func (k *known) drop(v *store.Version, n *fusefs.Inode) {
	if _, there := k.nodes[v][n]; !there {
		return
	}
	delete(k.nodes[v], n)
	if len(k.nodes[v]) == 0 {
		delete(k.nodes, v)
	}
	v.Unhold()
}

// of lists the nodes of a version, the innermost first: a directory can be
// forgotten once nothing in it is remembered.
func (k *known) of(v *store.Version) []*fusefs.Inode {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n, h := range k.nodes[v] {
		if n.Forgotten() && time.Since(h.since) > stray {
			k.drop(v, n)
		}
	}
	of := k.nodes[v]
	return slices.SortedFunc(maps.Keys(of), func(a, b *fusefs.Inode) int { return of[b].depth - of[a].depth })
}

func depth(rel string) int {
	if rel == "" {
		return 0
	}
	return 1 + strings.Count(rel, "/")
}
