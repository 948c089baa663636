package store

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// Damage is what a verification found wrong with one file of a version. It is
// written into the manifest, and with it goes wherever the version goes.
//
// A damaged version is resolved by no view, is kept by no rule and deleted by
// none. It stays what its record or the history holds: who stands in it keeps it,
// and a commit moves it as any other. What takes the mark away is a verification
// that finds the file as it was committed, or another whole file in its place.
type Damage struct {
	Path    string    `json:"path"`
	Problem string    `json:"problem"`
	Found   time.Time `json:"found"`
	// What the file was when it was found damaged. The same bytes later are the
	// damaged ones still, also when somebody has touched the file.
	Size    int64  `json:"size"`
	MtimeNS int64  `json:"mtime_ns"`
	Ino     uint64 `json:"ino"`
	XXH3    string `json:"xxh3,omitempty"` // "" when it could not be read
	Want    string `json:"want,omitempty"` // what it was when it was committed; "" when nobody knows
}

// damageWords says in one line what is wrong; "" when nothing is.
func damageWords(list []Damage) string {
	if len(list) == 0 {
		return ""
	}
	words := fmt.Sprintf("verification found %s damaged: %s", list[0].Path, list[0].Problem)
	if more := len(list) - 1; more > 0 {
		words += fmt.Sprintf("; and %d more of its files", more)
	}
	return words
}

// damageOf is what is known to be wrong with a version. Called without Store.mu.
func (s *Store) damageOf(v *Version) []Damage {
	if v == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return v.Damage
}

// recordOf is whose version it is, nil of one in the trash.
func (s *Store) recordOf(v *Version) *record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return v.rec
}

func (s *Store) damaged(v *Version) bool { return len(s.damageOf(v)) > 0 }

// spoilt is a candidate as the policy is to see it: whatever it would be, a damaged
// version is no checkpoint.
func (s *Store) spoilt(c policy.Checkpoint, v *Version) policy.Checkpoint {
	if why := damageWords(s.damageOf(v)); why != "" {
		c.State, c.Reason = policy.Invalid, why
	}
	return c
}

// noteProofs writes down durably what a verification found out about files of a
// version: what is damaged, and what is so no longer. Called without locks.
func (s *Store) noteProofs(v *Version, proofs []proof) error {
	s.mu.Lock()
	was := v.Damage
	files := slices.Clone(v.Files)
	var list []Damage
	for _, d := range was {
		if !slices.ContainsFunc(proofs, func(p proof) bool { return p.path == d.Path && p.decides() }) {
			list = append(list, d)
		}
	}
	renewed := false
	for _, p := range proofs {
		i := slices.IndexFunc(files, func(f ManifestFile) bool { return f.Path == p.path })
		switch {
		case i < 0: // it is another one by now
		case p.damage != "" && !p.stranger:
			d := Damage{
				Path: p.path, Problem: p.damage, Found: s.clock.Now(), XXH3: p.sum, Want: p.want,
				Size: files[i].Size, MtimeNS: files[i].MtimeNS, Ino: files[i].Ino,
			}
			if k := slices.IndexFunc(was, func(w Damage) bool { return w.Path == d.Path && w.Problem == d.Problem }); k >= 0 {
				d.Found = was[k].Found
			}
			list = append(list, d)
		case p.renewed:
			files[i].XXH3, renewed = p.sum, true
		}
	}
	slices.SortFunc(list, func(a, b Damage) int { return strings.Compare(a.Path, b.Path) })
	if slices.Equal(was, list) && !renewed {
		s.mu.Unlock()
		return nil
	}
	v.Damage, v.Files = list, files
	rec, at := v.rec, path.Join(v.Run, v.Name)
	if rec != nil { // not in the trash
		s.noteChange(rec)
	}
	s.mu.Unlock()
	if rec != nil {
		s.viewsMoved(rec.run)
	}
	switch why := damageWords(list); {
	case why != "" && why != damageWords(was):
		s.log.Error("damaged", "checkpoint", at, "version", v.ID, "why", why)
		s.event("invalid", at, why)
	case why == "" && len(was) > 0:
		s.log.Info("whole again", "checkpoint", at, "version", v.ID)
		s.event("valid", at, "a verification has found it whole again")
	}
	if s.readOnly {
		return nil
	}
	return s.rewriteManifest("verify:mark", v, true)
}

// damageHints says of the damaged versions of a run what can be done.
func (s *Store) damageHints(r *run) (hints []string) {
	for _, rec := range s.recordsOf(r) {
		rec.mu.RLock()
		versions := slices.Clone(rec.history)
		if rec.committed != nil && s.recordOf(rec.committed) == rec {
			versions = append(versions, rec.committed)
		}
		name := rec.name
		rec.mu.RUnlock()
		for _, v := range versions {
			if why := damageWords(s.damageOf(v)); why != "" {
				hints = append(hints, fmt.Sprintf("%s: %s; no view shows it: copy it back from a backup and run ckptfs verify --deep, or save it anew", name, why))
			}
		}
	}
	slices.Sort(hints)
	return hints
}

// rewriteManifest writes down what is known of a version now, unless it is gone.
// One at a time does so for each version, and nobody once it is gone: a manifest
// must not outlive what it is about.
func (s *Store) rewriteManifest(op disk.Op, v *Version, sync bool) error {
	v.papers.Lock()
	defer v.papers.Unlock()
	if v.where() == "" {
		return nil
	}
	s.mu.RLock()
	m := v.Manifest
	s.mu.RUnlock()
	return s.putManifest(op, &m, sync)
}

// gone says that a version lies nowhere any more; when it returns, nobody writes
// its manifest.
func (v *Version) gone() {
	v.papers.Lock()
	defer v.papers.Unlock()
	v.mu.Lock()
	v.path = ""
	v.mu.Unlock()
}

// inherit lets a checkpoint that was changed from outside keep the marks of what
// was there before: the files that were damaged may be the same still, with
// another time. recheck finds out.
func (m *Manifest) inherit(list []Damage) {
	for _, d := range list {
		i := slices.IndexFunc(m.Files, func(f ManifestFile) bool { return f.Path == d.Path })
		if i >= 0 && !slices.ContainsFunc(m.Damage, func(k Damage) bool { return k.Path == d.Path }) {
			m.Damage = append(m.Damage, d)
			m.Files[i].XXH3 = d.Want
		}
	}
}

// is reports whether a file is, by its inode, size and time, the one that was
// found damaged.
func (d *Damage) is(f *ManifestFile) bool {
	return d.Ino == f.Ino && d.Size == f.Size && d.MtimeNS == f.MtimeNS
}

// lookThrough verifies and hashes a checkpoint that was adopted anew because
// somebody has changed it.
func (s *Store) lookThrough(v *Version) {
	if s.changedSince(v) {
		s.recheck(v)
	}
	s.hashLater(v)
}

// recheckChanged verifies what is marked and was changed since.
func (s *Store) recheckChanged() {
	for _, rec := range s.allRecords() {
		rec.mu.RLock()
		v := rec.committed
		rec.mu.RUnlock()
		if s.changedSince(v) {
			s.recheck(v)
		}
	}
}

func (s *Store) changedSince(v *Version) bool {
	if v == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range v.Damage {
		if slices.ContainsFunc(v.Files, func(f ManifestFile) bool { return f.Path == d.Path && !d.is(&f) }) {
			return true
		}
	}
	return false
}

// tainted names the files of a staged tree that the version which the save began
// with holds too, and that are damaged there: what is saved with them is not whole.
func (s *Store) tainted(sv *save, tree []treeEntry) (problems []string) {
	from := sv.origin()
	for _, d := range s.damageOf(from) {
		i := slices.IndexFunc(tree, func(e treeEntry) bool { return e.rel == d.Path })
		if i < 0 {
			continue
		}
		s.mu.RLock()
		shared := slices.ContainsFunc(from.Files, func(f ManifestFile) bool { return f.Path == d.Path && f.Ino == tree[i].st.Ino })
		s.mu.RUnlock()
		if shared {
			problems = append(problems, d.Path+": it is the one that a verification has found damaged, and has to be written again")
		}
	}
	return problems
}
