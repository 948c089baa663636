package disk

import (
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A save makes, renames and looks at hundreds of files in the same few
// directories, whose paths have five parts. So those below a directory that is
// Ours stay open from one call to the next, and a call in one of them is one
// system call.
//
// The invariant: a kept directory is the one that its path leads to. Nobody but this
// Root renames or removes a directory there, so it holds as long as Rename and
// Rmdir let go of what they may have moved, before they return.
type kept struct {
	below string // with a slash at its end; "" for none; set before anything is done there

	mu    sync.Mutex
	dirs  map[string]*keptDir
	moves uint64 // counts what may have moved a directory
	uses  uint64
}

// keptDir is one directory. Its fields are guarded by kept.mu, but for fd, which
// stays open while there are users.
type keptDir struct {
	fd    int
	users int
	used  uint64 // when it was used last, in uses
	gone  bool   // closed with its last user
}

// mostKept is how many directories are kept: two for each of many saves at once.
const mostKept = 64

// Ours implements Disk. What others can write to is theirs as well, and is looked
// up each time.
func (r *Root) Ours(dir string) {
	st, err := r.Stat(dir)
	if err != nil || !st.IsDir() || int(st.UID) != os.Geteuid() || st.Mode&0o077 != 0 {
		return
	}
	r.kept.below, r.kept.dirs = dir+"/", map[string]*keptDir{}
}

// keeps reports whether a directory would be kept.
func (k *kept) keeps(dir string) bool { return k.below != "" && strings.HasPrefix(dir, k.below) }

// directory is an open directory for the length of a call.
type directory struct {
	fd   int
	kept *keptDir // nil when it is to be closed
	of   *kept
}

// release ends the use of the directory.
func (d directory) release() {
	if d.kept == nil {
		if d.of != nil {
			unix.Close(d.fd)
		}
		return
	}
	d.of.mu.Lock()
	d.kept.users--
	last := d.kept.gone && d.kept.users == 0
	d.of.mu.Unlock()
	if last {
		unix.Close(d.fd)
	}
}

// directory opens a directory, or finds it open.
func (r *Root) directory(p string) (directory, error) {
	if p == "" {
		return directory{fd: r.Fd()}, nil
	}
	k := &r.kept
	if k.keeps(p) {
		d, moves := k.find(p)
		if d != nil {
			return directory{d.fd, d, k}, nil
		}
		// Readable, for the calls that ask an open directory about itself.
		fd, err := r.openat(p, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err == nil {
			return directory{fd, k.keep(p, fd, moves), k}, nil
		}
		if err != unix.EACCES {
			return directory{}, err
		}
	}
	fd, err := r.openat(p, unix.O_PATH|unix.O_DIRECTORY, 0)
	return directory{fd: fd, of: k}, err
}

// find returns a kept directory with a new user, or nil and the count of moves,
// which says later whether what is opened now is still under its path.
func (k *kept) find(p string) (*keptDir, uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.dirs[p]
	if d != nil {
		d.users++
		k.uses++
		d.used = k.uses
	}
	return d, k.moves
}

// keep takes an open directory in, with its first user; nil when it may have moved
// since moves were counted, or somebody else was first.
func (k *kept) keep(p string, fd int, moves uint64) *keptDir {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.moves != moves || k.dirs[p] != nil {
		return nil
	}
	if len(k.dirs) == mostKept {
		k.drop(k.oldest())
	}
	k.uses++
	d := &keptDir{fd: fd, users: 1, used: k.uses}
	k.dirs[p] = d
	return d
}

// oldest is the path that was used least recently. Needs mu.
func (k *kept) oldest() (p string) {
	least := k.uses + 1
	for at, d := range k.dirs {
		if d.used < least {
			p, least = at, d.used
		}
	}
	return p
}

// drop ends the keeping of a directory. Needs mu.
func (k *kept) drop(p string) {
	d := k.dirs[p]
	delete(k.dirs, p)
	if d.gone = true; d.users == 0 {
		unix.Close(d.fd)
	}
}

// moved lets go of a directory that is no longer under its path, and of all below it.
func (k *kept) moved(p string) {
	if k.below == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.moves++
	for at := range k.dirs {
		if len(at) >= len(p) && at[:len(p)] == p && (len(at) == len(p) || at[len(p)] == '/') {
			k.drop(at)
		}
	}
}

// close lets go of all.
func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for at := range k.dirs {
		k.drop(at)
	}
}
