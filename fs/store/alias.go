package store

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"ckptfs/layout"
	"ckptfs/policy"
)

// A checkpoint's name that is a symbolic link is an ordinary entry: it is shown
// as the link that it is, the kernel follows it, and what is written through it
// is a save of its target. If the target is a checkpoint of the same run the
// link is an alias: another name, whose kind counts for the target. Any other
// link, and whatever a mountpoint covers, is foreign.

// alias is one link of a run.
type alias struct {
	name   string
	kind   layout.Kind
	target *record // what it leads to in the end
}

// noteAlias looks at a path of the backing directory again that may have become
// a link, or be none any more.
func (s *Store) noteAlias(p string) {
	dir, name := split(p)
	if !s.namesCheckpoint(dir, name) {
		return
	}
	link := ""
	if st, err := s.disk.Stat(p); err == nil && st.IsSymlink() {
		if to, err := s.disk.Readlink(p); err == nil {
			link = s.resolveLink(dir, to)
		}
	}
	s.mu.Lock()
	was := s.links[p]
	if link == "" {
		delete(s.links, p)
	} else {
		s.links[p] = link
	}
	r := s.runs[dir]
	if was != link && r != nil {
		r.stale.links = true
		s.unresolved(r)
	}
	s.mu.Unlock()
	if was != link && r != nil {
		s.viewsMoved(r)
	}
}

// resolveLink gives the path in the backing directory that a link in dir leads
// to, by the words alone; "" when it leads out of it.
func (s *Store) resolveLink(dir, to string) string {
	if path.IsAbs(to) {
		below, ok := strings.CutPrefix(path.Clean(to), s.opts.Mountpoint+"/")
		if !ok || s.opts.Mountpoint == "" {
			return ""
		}
		return below
	}
	p := path.Join(dir, to)
	if p == "." || p == ".." || strings.HasPrefix(p, "../") {
		return ""
	}
	return p
}

// aliasesOf lists the aliases in a run, by name.
func (s *Store) aliasesOf(r *run) []alias {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []alias
	for p := range s.links {
		dir, name := split(p)
		if dir != r.path || r.layout() == nil {
			continue
		}
		target := s.follow(p)
		at, base := split(target)
		rec := r.find(base, true)
		if at != dir || rec == nil {
			continue
		}
		if m, ok := r.layout().Match(name, !rec.spread()); ok && m.Checkpoint() {
			out = append(out, alias{name, m.Kind, rec})
		}
	}
	slices.SortFunc(out, func(a, b alias) int { return cmp.Compare(a.name, b.name) })
	return out
}

// follow walks from link to link; "" when it goes on for too long. Needs s.mu.
func (s *Store) follow(p string) string {
	const most = 8
	for range most {
		to, ok := s.links[p]
		if !ok {
			return p
		}
		p = to
	}
	return ""
}

// moveLinks moves what is known of links below a directory that was renamed, or
// forgets it when to is "". Needs s.mu.
func (s *Store) moveLinks(from, to string) {
	for p, target := range s.links {
		rest, ok := strings.CutPrefix(p, from+"/")
		if !ok {
			continue
		}
		delete(s.links, p)
		if to != "" {
			if below, ok := strings.CutPrefix(target, from+"/"); ok {
				target = path.Join(to, below)
			}
			s.links[path.Join(to, rest)] = target
		}
	}
}

// aliasRows are the rows of `ls` for the aliases of a run.
func (s *Store) aliasRows(r *run) (out []CheckpointRow) {
	for _, a := range s.aliasesOf(r) {
		out = append(out, CheckpointRow{
			Name: a.name, Kind: a.kind, State: policy.Alias, Views: []string{}, Reason: "another name of " + a.target.name, AliasOf: a.target.name,
		})
	}
	return out
}

// namesCheckpoint reports whether an entry of a directory has a checkpoint's name,
// or that of a file of one.
func (s *Store) namesCheckpoint(dir, name string) bool {
	_, _, asDir := s.match(dir, name, true)
	_, _, asFile := s.match(dir, name, false)
	return asDir || asFile
}

// occupied reports whether something that is no checkpoint lies under a record's
// name: a link, or a file. Needs rec.mu.
func (s *Store) occupied(rec *record) bool {
	if rec.natural {
		return false
	}
	_, err := s.disk.Stat(rec.path())
	return err == nil
}
