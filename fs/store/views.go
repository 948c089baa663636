package store

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// Target is what a view name leads to: a version, or an index of numbers.
type Target struct {
	Version *Version
	Index   Index
}

// Index is a virtual directory of numbers.
type Index string

// The two indexes: they resolve to versions by number and protect nothing.
const (
	NoIndex Index = ""
	ByEpoch Index = "by-epoch"
	ByStep  Index = "by-step"
)

// policyOf is the configuration for a run. Called without locks.
func (s *Store) policyOf(r *run) policy.Config {
	s.mu.RLock()
	shown := r.shown()
	s.mu.RUnlock()
	return s.cfg.For(shown, r.layout())
}

func (s *Store) runAt(dir string) *run {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.runs[dir]
}

// View says what a view name leads to in a run; false when it is no view or
// nothing resolves. A real entry goes first: the caller has looked. So does one
// that the trainer has yet to make: the kernel would refuse to create it where a
// directory is shown. "@latest" always means the view.
func (s *Store) View(dir, name string) (Target, bool) {
	r := s.runAt(dir)
	if r == nil {
		return Target{}, false
	}
	if r.owns(name) {
		return Target{}, false
	}
	name = strings.TrimPrefix(name, "@")
	n := s.cfg.Views
	resolved := func(choose func(*policy.Index) int) (Target, bool) {
		v := s.chosen(r, choose)
		return Target{Version: v}, v != nil
	}
	switch name {
	case "":
		return Target{}, false
	case n.Latest:
		return resolved((*policy.Index).Latest)
	case n.Resume:
		return resolved((*policy.Index).Resume)
	case n.Best:
		return resolved((*policy.Index).Best)
	}
	x := s.standingOf(r)
	defer x.mu.Unlock()
	switch name {
	case n.ByEpoch:
		return Target{Index: ByEpoch}, x.index.HasEpochs()
	case n.ByStep:
		return Target{Index: ByStep}, x.index.HasSteps()
	}
	return Target{}, false
}

// Listed names the views that a listing of a run shows, after the real entries.
// A view that a real entry shadows is listed as "@name".
func (s *Store) Listed(dir string, real func(name string) bool) []string {
	r := s.runAt(dir)
	if r == nil || s.cfg.Views.Listed == "never" {
		return nil
	}
	if s.cfg.Views.Listed != "always" && r.layout() != nil && !r.layout().ListsViews {
		return nil
	}
	n := s.cfg.Views
	var names []string
	for _, name := range n.Names() {
		if _, ok := s.View(dir, "@"+name); name == "" || !ok {
			continue
		}
		if real(name) || r.owns(name) {
			name = "@" + name
		}
		names = append(names, name)
	}
	return names
}

// owns reports whether the trainer of a run makes an entry of this name itself.
func (r *run) owns(name string) bool { return r.layout() != nil && r.layout().Owns(name) }

// Numbers lists an index of a run in ascending order.
func (s *Store) Numbers(dir string, index Index) []int64 {
	r := s.runAt(dir)
	if r == nil {
		return nil
	}
	x := s.standingOf(r)
	defer x.mu.Unlock()
	list := x.index.Epochs()
	if index == ByStep {
		list = x.index.Steps()
	}
	slices.Sort(list)
	return list
}

// Numbered resolves one entry of an index; only the plain decimal form is one.
func (s *Store) Numbered(dir string, index Index, name string) *Version {
	n, err := strconv.ParseInt(name, 10, 64)
	r := s.runAt(dir)
	if err != nil || strconv.FormatInt(n, 10) != name || r == nil {
		return nil
	}
	return s.chosen(r, func(x *policy.Index) int {
		if index == ByEpoch {
			return x.Epoch(n)
		}
		return x.Step(n)
	})
}

// Hold keeps a version on disk while a view of it is known to the kernel; let go
// with Unhold.
func (v *Version) Hold() { v.views.Add(1) }

// Unhold ends one Hold.
func (v *Version) Unhold() { v.views.Add(-1) }

// leftView starts the time that a version stays on disk after the last view
// stopped resolving to it.
func (s *Store) leftView(v *Version) {
	v.left.Store(s.clock.Now().UnixNano())
	s.opts.Notify.Version(v)
}

// VersionAttr describes a path of a version. A file has the st_ino of its live
// name and at least two links, so that du counts it once.
func (s *Store) VersionAttr(v *Version, rel string) (Attr, error) {
	var a Attr
	err := v.location(func(dir string) error {
		st, err := s.disk.Stat(path.Join(dir, rel))
		if err != nil {
			return err
		}
		a = s.versionStat(st)
		return nil
	})
	return a, err
}

func (s *Store) versionStat(st disk.Stat) Attr {
	a := Attr{Stat: st}
	if !st.IsDir() {
		a.Ident = s.identities.of(&st)
		a.Nlink++
	}
	return a
}

// VersionList lists a directory of a version, sorted by name.
func (s *Store) VersionList(v *Version, rel string) (out []Dirent, err error) {
	err = v.location(func(dir string) error {
		list, err := s.disk.ReadDir(path.Join(dir, rel))
		out = sorted(list, nil)
		return err
	})
	return out, err
}

// VersionOpen opens a file of a version for reading.
func (s *Store) VersionOpen(v *Version, rel string, flags int) (f *File, err error) {
	if flags&unix.O_ACCMODE != os.O_RDONLY || flags&unix.O_TRUNC != 0 {
		return nil, fmt.Errorf("write to a view: %w", unix.EROFS)
	}
	err = v.location(func(dir string) error {
		if f, err = s.open(path.Join(dir, rel), Ident{}, flags); err == nil {
			f.Immutable = true
		}
		return err
	})
	return f, err
}

// VersionReadlink reads a symbolic link of a version.
func (s *Store) VersionReadlink(v *Version, rel string) (target string, err error) {
	err = v.location(func(dir string) error {
		target, err = s.disk.Readlink(path.Join(dir, rel))
		return err
	})
	return target, err
}

// VersionGetxattr reads an extended attribute of a path of a version.
func (s *Store) VersionGetxattr(v *Version, rel, name string, dest []byte) (n int, err error) {
	err = v.location(func(dir string) error {
		n, err = s.disk.Getxattr(path.Join(dir, rel), name, dest)
		return err
	})
	return n, err
}
