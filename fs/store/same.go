package store

import (
	"bytes"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A save that changed no content in the end is no version: it is dropped. What
// is left of it, modes, owners and times, is applied in place, as it would have
// been without a save.

// sameAsBase reports whether a save changed no byte and no name in the end.
func (s *Store) sameAsBase(sv *save, m *Manifest, tree []treeEntry) bool {
	if sv.base == nil || len(sv.base.Files) != len(m.Files) || s.damaged(sv.base) {
		return false
	}
	known := map[string]ManifestFile{}
	for _, f := range s.ManifestOf(sv.base).Files {
		known[f.Path] = f
	}
	var unhashed []string
	for _, f := range m.Files {
		b, ok := known[f.Path]
		switch {
		case !ok || b.Size != f.Size:
			return false
		case b.XXH3 == "" || f.XXH3 == "":
			unhashed = append(unhashed, f.Path)
		case b.XXH3 != f.XXH3:
			return false
		}
	}
	same := false
	s.report("compare a save with the version before", sv.base.location(func(dir string) error {
		old, err := s.walk(dir)
		same = err == nil && s.sameShape(sv.tree(), tree, dir, old)
		return err
	}))
	for i := 0; i < len(unhashed) && same; i++ {
		var err error
		same, err = s.sameContentAt(sv, unhashed[i])
		s.report("compare a save with the version before", err)
	}
	return same
}

// sameContentAt compares the bytes of a file of a save and of its base.
func (s *Store) sameContentAt(sv *save, rel string) (bool, error) {
	a, err := s.disk.Open("compare", path.Join(sv.tree(), rel), os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer a.Close() // it was only read
	var b *os.File
	err = sv.base.location(func(dir string) (err error) {
		b, err = s.disk.Open("compare", path.Join(dir, rel), os.O_RDONLY, 0)
		return err
	})
	if err != nil {
		return false, err
	}
	defer b.Close() // it was only read
	return sameBytes(a, b)
}

// sameBytes compares two open files. Those of two saves mostly differ all over, so
// some spots come first.
func sameBytes(a, b *os.File) (bool, error) {
	const spots, spot = 16, 4 << 10
	info, err := a.Stat()
	if err != nil {
		return false, err
	}
	size, inA, inB := info.Size(), make([]byte, piece), make([]byte, piece)
	sameAt := func(at, n int64) (bool, error) {
		x, errA := a.ReadAt(inA[:n], at)
		y, errB := b.ReadAt(inB[:n], at)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF {
				return false, err
			}
		}
		return bytes.Equal(inA[:x], inB[:y]), nil
	}
	for i := range int64(spots) {
		if same, err := sameAt(size/spots*i, spot); !same {
			return false, err
		}
	}
	for at := int64(0); at < size+1; at += piece { // and that both end there
		if same, err := sameAt(at, piece); !same {
			return false, err
		}
	}
	return true, nil
}

// sameShape compares what manifests do not list: directories, symbolic links and
// whatever else is no regular file.
func (s *Store) sameShape(a string, inA []treeEntry, b string, inB []treeEntry) bool {
	if len(inA) != len(inB) {
		return false
	}
	inA, inB = byPath(inA), byPath(inB)
	for i := range inA {
		x, y := inA[i], inB[i]
		if x.rel != y.rel || (x.st.Mode^y.st.Mode)&unix.S_IFMT != 0 {
			return false
		}
		if x.st.IsSymlink() && x.st.Ino != y.st.Ino {
			to, err := s.disk.Readlink(path.Join(a, x.rel))
			was, errWas := s.disk.Readlink(path.Join(b, y.rel))
			if err != nil || errWas != nil || to != was {
				return false
			}
		}
	}
	return true
}

func byPath(tree []treeEntry) []treeEntry {
	return slices.SortedFunc(slices.Values(tree), func(a, b treeEntry) int { return strings.Compare(a.rel, b.rel) })
}

// holdsBase reports whether the files of a save are those of its base still, but
// for strangers that only the base has. That this attempt wrote none is not
// enough: an earlier one may have.
func (s *Store) holdsBase(sv *save) bool {
	same := false
	if sv.base == nil {
		return false
	}
	s.report("compare a save with the version before", sv.base.location(func(dir string) error {
		old, err := s.walk(dir)
		if err != nil {
			return err
		}
		tree, err := s.walk(sv.tree())
		old = slices.DeleteFunc(old, func(e treeEntry) bool { // copies of what was open
			return sv.rec.stranger(e.rel) && !slices.ContainsFunc(tree, func(t treeEntry) bool { return t.rel == e.rel })
		})
		same = err == nil && slices.EqualFunc(byPath(tree), byPath(old), func(a, b treeEntry) bool {
			return a.rel == b.rel && (a.st.Ino == b.st.Ino || a.st.IsDir() && b.st.IsDir())
		})
		return err
	}))
	return same
}

// dropSame drops a save that has the content of its base, and gives that the
// modes, owners and times of the save. Needs rec.mu.
func (s *Store) dropSame(sv *save, why string) {
	rec, base := sv.rec, sv.base
	var changed []string
	if base != nil && rec.natural && rec.committed == base {
		tree, err := s.walk(sv.tree())
		s.report("look into a save", err)
		if st, err := s.disk.Stat(sv.tree()); err == nil {
			tree = append([]treeEntry{{"", st}}, tree...)
		}
		for i := len(tree) - 1; i >= 0; i-- {
			e, to := tree[i], path.Join(rec.home(), tree[i].rel)
			was, err := s.disk.Stat(to)
			if err != nil || was.Ino == e.st.Ino || (was.Mode^e.st.Mode)&unix.S_IFMT != 0 || e.st.IsSymlink() {
				continue
			}
			if was.Mode != e.st.Mode || was.UID != e.st.UID || was.GID != e.st.GID || was.Mtime != e.st.Mtime {
				s.report("keep the attributes of a save", disk.CopyMeta(s.disk, "save:same", path.Join(sv.tree(), e.rel), to, e.st))
				changed = append(changed, to)
			}
		}
	}
	s.drop(sv, why)
	for _, b := range changed {
		s.noteMtime(rec, b)
	}
}
