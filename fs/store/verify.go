package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"ckptfs/layout"
	"ckptfs/policy"
)

// VerifyOptions say what is looked at, and how closely.
type VerifyOptions struct {
	Path    string // of a run, of a directory of runs, of a checkpoint or of a view; "" is everything
	Deep    bool   // read every byte
	History bool   // earlier versions too
	Trash   bool   // and what was deleted
	Again   bool   // from the beginning, whatever was proved before an interruption

	// Progress, which may be nil, is called by one goroutine at a time.
	Progress func(VerifyProgress)

	pass string                                     // what it goes on with when it was interrupted; "" for nothing
	rest func(ctx context.Context, bytes int) error // between two pieces; nil for no rest
}

// VerifyProgress is how far a verification has come.
type VerifyProgress struct {
	Files     int    `json:"files"`
	FilesDone int    `json:"files_done"`
	Bytes     int64  `json:"bytes"` // to be read
	BytesDone int64  `json:"bytes_done"`
	Damaged   int    `json:"damaged"` // files
	Now       string `json:"now"`     // what is being read
}

// VerifyReport is `verify --json`.
type VerifyReport struct {
	Checkpoints []Verified `json:"checkpoints"`
	Deep        bool       `json:"deep"`
	Interrupted bool       `json:"interrupted"`
	Since       *time.Time `json:"since"`  // when the verification began that this one went on with; null where it did not
	Proved      int        `json:"proved"` // files that it had proved by then
	Files       int        `json:"files"`
	FilesDone   int        `json:"files_done"`
	Bytes       int64      `json:"bytes"` // that were read of their content
	Seconds     float64    `json:"seconds"`
}

// Verified is what a verification has found of one checkpoint.
type Verified struct {
	Run      string         `json:"run"`
	Name     string         `json:"name"`
	Version  string         `json:"version"`
	State    policy.State   `json:"state"`
	OK       bool           `json:"ok"` // everything that was looked at is whole, and nothing was left out
	Files    []VerifiedFile `json:"files"`
	Problems []string       `json:"problems"` // of the checkpoint as a whole
	Warnings []string       `json:"warnings"` // what does not make it invalid
}

// VerifiedFile is one file of it.
type VerifiedFile struct {
	Path    string `json:"path"`
	Format  string `json:"format"`
	Size    int64  `json:"size"`
	OK      bool   `json:"ok"`
	By      string `json:"by"`      // what proves it: hash, checksums, structure; "" for nothing
	Checked bool   `json:"checked"` // false: the verification was interrupted before
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

// Verify looks at the files of committed versions: at the structure of each and,
// when it is to be deep, at every byte, which has to be what was hashed at the
// commit, or to agree with the checksums of its format where no hash is known. What
// is damaged is marked, durably, and what is whole again no longer; nothing is
// deleted. What is deleted meanwhile is left out.
//
// A deep verification that ctx ends is gone on with by the next one of the same
// path, unless that comes a day later.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	if o.Deep && o.pass == "" {
		o.pass = fmt.Sprintf("verify %q history=%v trash=%v", o.Path, o.History, o.Trash)
	}
	s.compareAll()
	began := s.clock.Now()
	run := &verification{s: s, o: o, subjects: s.scope(o)}
	run.begin()
	run.readAll(ctx)
	rep := run.end(ctx)
	rep.Seconds = s.clock.Now().Sub(began).Seconds()
	return rep, errors.Join(run.errs...)
}

// StartVerify is Verify in a goroutine that Close waits for; done hears of its
// end. It is false when the store is being closed.
func (s *Store) StartVerify(ctx context.Context, o VerifyOptions, done func(VerifyReport, error)) bool {
	return s.spawn(func() { done(s.Verify(ctx, o)) })
}

// VerifyCopy looks at a checkpoint that lies in no run: its structure, and when it
// is to be deep the checksums of its files.
func VerifyCopy(report layout.Report, name string, deep bool) Verified {
	out := Verified{Run: ".", Name: name, State: policy.Committed, OK: report.Valid(), Files: fileRows(report), Problems: []string{}, Warnings: []string{}}
	for _, missing := range report.Missing {
		out.Problems = append(out.Problems, missing+" is missing")
	}
	for _, f := range report.Files {
		if deep && !f.Verified && f.Problem == "" {
			out.Warnings = append(out.Warnings, unproved(f.Path, f.Format))
		}
	}
	return out
}

func unproved(file, format string) string {
	return file + ": nothing proves its content: no hash of it was kept, and its format (" + format + ") has no checksums"
}

func fileRows(report layout.Report) []VerifiedFile {
	out := []VerifiedFile{}
	for _, f := range report.Files {
		row := VerifiedFile{Path: f.Path, Format: f.Format, Size: f.Size, OK: f.Problem == "", Checked: true, Problem: f.Problem, By: byStructure}
		if f.Verified {
			row.By = byChecksums
		}
		if !row.OK {
			row.By = ""
		}
		out = append(out, row)
	}
	return out
}

// label is how a report calls it: run, name and, of an earlier version, which.
func (v *Verified) label() string {
	name := path.Join(v.Run, v.Name)
	if v.State == policy.History || v.State == policy.Trash {
		name += "@" + v.Version
	}
	return name
}

// words joins a list for a line.
func (v *Verified) words() string { return Words(v.Damage()) }
