package store

import (
	"context"
	"path"
	"slices"
	"strings"

	"ckptfs/layout/format"
	"ckptfs/policy"
)

// Verified is what a deep look at one version found.
type Verified struct {
	Run      string         `json:"run"`
	Name     string         `json:"name"`
	Version  string         `json:"version"`
	State    policy.State   `json:"state"` // committed, history or trash
	Files    []VerifiedFile `json:"files"`
	Problems []string       `json:"problems"` // of the checkpoint as a whole
}

// VerifiedFile is one file of a version.
type VerifiedFile struct {
	Path    string `json:"path"`
	Format  string `json:"format"`
	Hashed  bool   `json:"hashed"`  // it was compared with the hash of its commit
	Problem string `json:"problem"` // "" when nothing is wrong
}

// Damage lists all that is wrong, in words; nothing when the version is what was
// committed.
func (v *Verified) Damage() []string {
	out := slices.Clone(v.Problems)
	for _, f := range v.Files {
		if f.Problem != "" {
			out = append(out, f.Path+": "+f.Problem)
		}
	}
	return out
}

// Verify reads every byte of every version, those in the history and in the
// trash included, and compares it with the manifest of its commit and with the
// checksums of its format. It changes nothing. What is deleted meanwhile is left
// out.
func (s *Store) Verify(ctx context.Context) ([]Verified, error) {
	out := []Verified{}
	look := func(v *Version, state policy.State) {
		if v == nil || ctx.Err() != nil {
			return
		}
		if seen, ok := s.verifyVersion(v, state); ok {
			out = append(out, seen)
		}
	}
	for _, rec := range s.allRecords() {
		rec.mu.RLock()
		committed, history := rec.committed, slices.Clone(rec.history)
		rec.mu.RUnlock()
		look(committed, policy.Committed)
		for _, v := range history {
			look(v, policy.History)
		}
	}
	s.mu.RLock()
	trash := slices.Clone(s.trash)
	s.mu.RUnlock()
	for _, t := range trash {
		look(t.version, policy.Trash)
	}
	slices.SortFunc(out, func(a, b Verified) int {
		return strings.Compare(path.Join(a.Run, a.Name)+" "+a.Version, path.Join(b.Run, b.Name)+" "+b.Version)
	})
	return out, ctx.Err()
}

// verifyVersion looks at one version, again when it moved meanwhile; false when
// it went.
func (s *Store) verifyVersion(v *Version, state policy.State) (Verified, bool) {
	for {
		dir := v.where()
		if dir == "" {
			return Verified{}, false
		}
		seen := s.verifyAt(v, dir)
		seen.State = state
		if v.where() == dir {
			return seen, true
		}
	}
}

func (s *Store) verifyAt(v *Version, dir string) Verified {
	s.mu.RLock()
	m := v.Manifest
	s.mu.RUnlock()
	out := Verified{Run: m.Run, Name: m.Name, Version: m.ID, Files: []VerifiedFile{}}
	if err := s.matches(dir, &m); err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	for _, f := range m.Files {
		seen := VerifiedFile{Path: f.Path, Format: f.Format, Hashed: f.XXH3 != ""}
		p := path.Join(dir, f.Path)
		if seen.Hashed {
			sum, err := s.hash(p)
			if err != nil {
				seen.Problem = err.Error()
			} else if sum != f.XXH3 {
				seen.Problem = "it is not what was hashed when it was committed"
			}
		}
		if seen.Problem == "" {
			seen.Problem = s.checkFile(p, f.Path, format.Verify).Problem
		}
		out.Files = append(out.Files, seen)
	}
	return out
}
