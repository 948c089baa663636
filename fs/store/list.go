package store

import (
	"cmp"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// DirentPlus is one name of a listing with what a look-up of it would answer: the
// kernel asks for both at once.
type DirentPlus struct {
	Dirent
	Attr Attr
	// Known says that Attr is what everybody would be answered. It is false for a
	// name that has an open writer: for him it is another file than for others.
	Known bool
}

// ReadDirPlus is ReadDir with the attributes of every entry. It asks the disk for
// those of a directory in one walk, and for none of what is known.
func (s *Store) ReadDirPlus(p string) ([]DirentPlus, error) {
	if private(p) {
		return nil, unix.ENOENT
	}
	at := s.at(p)
	if at.rec != nil {
		at.rec.mu.RLock()
		defer at.rec.mu.RUnlock()
		if _, ok := at.rec.live(); !ok {
			return nil, unix.ENOENT
		}
		list, err := s.entriesOf(at.rec, at.rel)
		return s.described(list, func(e *disk.Described) (Attr, bool) {
			rel := path.Join(at.rel, e.Name)
			return s.recordStat(at.rec, rel, e.Stat), at.rec.drafts[rel] == nil
		}), err
	}
	names, err := s.ReadDir(p)
	if err != nil {
		return nil, err
	}
	list, err := s.disk.Describe(p)
	if err != nil {
		return nil, err
	}
	there := make(map[string]*disk.Stat, len(list))
	for i := range list {
		there[list[i].Name] = &list[i].Stat
	}
	out := make([]DirentPlus, 0, len(names))
	for _, e := range names {
		a, known := s.entryAttr(path.Join(p, e.Name), there[e.Name])
		out = append(out, DirentPlus{e, a, known})
	}
	return out, nil
}

// entryAttr describes one entry of a plain directory; st, which may be nil, is
// what was found there in the backing directory.
func (s *Store) entryAttr(p string, st *disk.Stat) (a Attr, known bool) {
	at := s.at(p)
	if at.rec == nil {
		if st == nil { // it came or went meanwhile
			return Attr{}, false
		}
		return Attr{Stat: *st, Ident: s.identities.of(st)}, true
	}
	rec := at.rec
	rec.mu.RLock()
	defer rec.mu.RUnlock()
	if rec.drafts[at.rel] != nil {
		return Attr{}, false
	}
	if dir, live := rec.live(); live && st != nil && st.IsDir() && dir == p {
		return s.recordStat(rec, at.rel, *st), true
	}
	a, err := s.recordAttr(rec, at.rel)
	return a, err == nil
}

// VersionListPlus is VersionList with the attributes of every entry.
func (s *Store) VersionListPlus(v *Version, rel string) (out []DirentPlus, err error) {
	err = v.location(func(dir string) error {
		list, err := s.disk.Describe(path.Join(dir, rel))
		out = s.described(byName(list), func(e *disk.Described) (Attr, bool) { return s.versionStat(e.Stat), true })
		return err
	})
	return out, err
}

// byName sorts a listing.
func byName(list []disk.Described) []disk.Described {
	slices.SortFunc(list, func(a, b disk.Described) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// described says of each entry of a sorted listing what it is.
func (s *Store) described(list []disk.Described, attr func(e *disk.Described) (Attr, bool)) []DirentPlus {
	out := make([]DirentPlus, 0, len(list))
	for i := range list {
		e := &list[i]
		a, known := attr(e)
		out = append(out, DirentPlus{Dirent{Name: e.Name, Type: e.Mode & unix.S_IFMT}, a, known})
	}
	return out
}
