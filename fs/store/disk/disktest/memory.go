// Package disktest has disks for tests.
//
// Memory is a file system that remembers what was synced, and can produce every
// disk that a power cut could leave of it, by the contract of disk.Disk. Names
// are kept in memory; the content of each file is a real file, so that
// descriptors, mappings and leases are real.
package disktest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// Memory implements disk.Disk.
type Memory struct {
	// Refuse, which may be nil, is asked before each call that changes
	// something, and fails it: a crash, a fault, a file system that cannot.
	Refuse func(op disk.Op, call string) error

	pool string // holds the content of each regular file, by number

	mu     sync.Mutex
	live   tree
	next   uint64
	times  map[uint64]unix.Timespec // of what has no file in the pool
	owners map[uint64][2]uint32
	xattrs map[uint64]map[string][]byte

	base     tree               // what was durable when the recording began
	original map[uint64]content // the same of the regular files
	events   []Event
	latest   map[uint64]content // as it was last seen
	written  map[uint64]bool    // files that may have been written since
}

// content is what a regular file holds, with its mode and time.
type content struct {
	data  string
	mode  uint32
	mtime unix.Timespec
}

// NewMemory makes an empty file system; its files lie in the empty directory pool.
func NewMemory(pool string) *Memory {
	m := &Memory{
		pool: pool, live: newTree(), next: rootIno,
		times: map[uint64]unix.Timespec{}, owners: map[uint64][2]uint32{}, xattrs: map[uint64]map[string][]byte{},
	}
	m.Settle()
	return m
}

// Settle forgets what was recorded: all that is there counts as durable.
func (m *Memory) Settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest, m.written = map[uint64]content{}, map[uint64]bool{}
	for ino, n := range m.live {
		if n.isRegular() {
			m.written[ino] = true
		}
	}
	m.capture()
	clear(m.written)
	m.events = nil
	m.base, m.original = m.live.clone(), maps.Clone(m.latest)
}

func (m *Memory) file(ino uint64) string { return path.Join(m.pool, strconv.FormatUint(ino, 10)) }

// capture records what was written since the last call. Nobody tells the disk
// of a write: it looks at what was once open for it. Needs mu.
func (m *Memory) capture() {
	for _, ino := range slices.Sorted(maps.Keys(m.written)) {
		if n := m.live[ino]; n == nil || n.names == 0 {
			continue
		}
		now, err := m.read(ino)
		if err != nil {
			panic(fmt.Sprintf("the pool has lost file %d: %v", ino, err))
		}
		if was, ok := m.latest[ino]; !ok || was != now {
			m.latest[ino] = now
			e := Event{Call: "write", file: ino, content: now}
			if n := len(m.events); n > 0 {
				e.Op = m.events[n-1].Op // whoever made or opened the file
			}
			m.events = append(m.events, e)
		}
	}
}

// touched says that a file may be written from here on.
func (m *Memory) touched(ino uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written[ino] = true
}

func (m *Memory) read(ino uint64) (content, error) {
	var st unix.Stat_t
	if err := unix.Stat(m.file(ino), &st); err != nil {
		return content{}, err
	}
	data, err := os.ReadFile(m.file(ino))
	return content{string(data), st.Mode & 0o7777, st.Mtim}, err
}

// write puts content into the pool.
func (m *Memory) write(ino uint64, c content) error {
	name := m.file(ino)
	if err := os.WriteFile(name, []byte(c.data), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(name, os.FileMode(c.mode)); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{c.mtime, c.mtime}, 0)
}

// change carries out one call that changes names, and records it.
func (m *Memory) change(op disk.Op, call string, do step) error {
	if m.Refuse != nil {
		if err := m.Refuse(op, call); err != nil {
			return fmt.Errorf("%s: %s: %w", op, call, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capture()
	changes, err := do(m.live)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", op, call, err)
	}
	m.live.apply(changes)
	m.events = append(m.events, Event{Op: op, Call: call, step: do})
	now := unix.NsecToTimespec(time.Now().UnixNano())
	for _, c := range changes {
		m.times[c.dir] = now
	}
	return nil
}

// Mark puts a word between the calls: what a user has been shown, say.
func (m *Memory) Mark(word string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capture()
	m.events = append(m.events, Event{Call: "mark", Mark: word})
}

// Sync implements disk.Disk: from here on what it syncs is there for good.
func (m *Memory) Sync(op disk.Op, p string) error {
	m.mu.Lock()
	ino, err := m.live.find(p)
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: sync %s: %w", op, p, err)
	}
	return m.sync(op, "sync "+p, ino)
}

// Fsync implements disk.Disk.
func (m *Memory) Fsync(op disk.Op, f *os.File) error {
	ino, err := m.inoOf(f)
	if err != nil {
		return err
	}
	return m.sync(op, "fsync", ino)
}

// WriteBack implements disk.Disk: a hint that is not taken.
func (m *Memory) WriteBack(*os.File) {}

// Syncfs implements disk.Disk.
func (m *Memory) Syncfs(op disk.Op) error { return m.sync(op, "syncfs", everything) }

func (m *Memory) sync(op disk.Op, call string, ino uint64) error {
	if m.Refuse != nil {
		if err := m.Refuse(op, call); err != nil {
			return fmt.Errorf("%s: %s: %w", op, call, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capture()
	m.events = append(m.events, Event{Op: op, Call: call, synced: ino})
	return nil
}

// inoOf finds the inode of an open file: its name is the one in the pool.
func (m *Memory) inoOf(f *os.File) (uint64, error) {
	ino, err := strconv.ParseUint(path.Base(f.Name()), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not of this disk: %w", f.Name(), unix.EBADF)
	}
	return ino, nil
}

// Equal reports whether two disks hold the same, by name, content and number.
func (m *Memory) Equal(other *Memory) bool {
	return bytes.Equal(m.now().fingerprint(), other.now().fingerprint())
}
