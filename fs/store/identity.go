package store

import (
	"sync"

	"ckptfs/fs/store/disk"
)

// Ident is how the mount tells two files apart: the inode number that users
// see, and a generation, because file systems use numbers again. A node found
// by number alone once served an old checkpoint's bytes under a new name.
type Ident struct{ Ino, Gen uint64 }

// synthetic is where the numbers of live and virtual directories begin: they
// belong to a name, not to an inode of the backing file system.
const synthetic = uint64(1) << 62

type identities struct {
	mu     sync.Mutex
	seen   map[backing]uint64
	next   uint64 // generation
	number uint64
}

type backing struct {
	dev, ino uint64
	birth    int64
}

func (t *identities) init() {
	t.seen = map[backing]uint64{}
	t.number = synthetic
}

// of gives the identity of a backing inode; the generation is handed out when
// it is first seen.
func (t *identities) of(st *disk.Stat) Ident {
	k := backing{st.Dev, st.Ino, st.BirthNS}
	t.mu.Lock()
	defer t.mu.Unlock()
	gen, ok := t.seen[k]
	if !ok {
		t.next++
		gen = t.next
		t.seen[k] = gen
	}
	return Ident{st.Ino, gen}
}

// forget is called when the last link of an inode goes: the number may come
// back within the same tick of the clock, with the same time of birth.
func (t *identities) forget(st *disk.Stat) {
	t.mu.Lock()
	delete(t.seen, backing{st.Dev, st.Ino, st.BirthNS})
	t.mu.Unlock()
}

// fresh gives a number to a live or virtual directory.
func (t *identities) fresh() Ident {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	return Ident{t.number, 0}
}

// FreshIdent gives a number to a directory that exists in the mount only.
func (s *Store) FreshIdent() Ident { return s.identities.fresh() }
