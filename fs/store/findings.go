package store

import (
	"cmp"
	"context"
	"slices"

	"ckptfs/policy"
)

// end makes the report.
func (run *verification) end(ctx context.Context) VerifyReport {
	run.tell("", true)
	rep := VerifyReport{
		Checkpoints: []Verified{}, Deep: run.o.Deep, Files: run.progress.Files, FilesDone: run.progress.FilesDone, Bytes: run.bytes.Load(),
		Interrupted: (ctx.Err() != nil || run.s.stopped()) && run.progress.FilesDone < run.progress.Files,
	}
	for _, c := range run.checks {
		switch {
		case c.v == nil && ctx.Err() == nil:
			rep.Checkpoints = append(rep.Checkpoints, run.s.verifyOther(c.subject, run.o.Deep))
		case c.v != nil && !c.gone && c.v.where() != "":
			if !c.read() && c.begun() { // interrupted: what was found is found
				run.mu.Lock()
				run.concludePart(c)
				run.mu.Unlock()
			}
			rep.Checkpoints = append(rep.Checkpoints, run.s.verified(c))
		}
	}
	if run.pass != nil {
		rep.Since, rep.Proved = run.since, run.proved
		if rep.Interrupted {
			run.s.keepPass(run.pass, true)
		} else {
			run.s.endPass(run.o.pass)
		}
	}
	return rep
}

// begun reports whether any file was looked at.
func (c *check) begun() bool {
	return slices.ContainsFunc(c.proofs, func(p *proof) bool { return p != nil })
}

// concludePart writes down what was found of a checkpoint that was not read to
// its end. Needs mu.
func (run *verification) concludePart(c *check) {
	part := *c
	part.proofs = slices.DeleteFunc(slices.Clone(c.proofs), func(p *proof) bool { return p == nil })
	run.concludeLocked(&part)
}

// verified is the report of a version.
func (s *Store) verified(c *check) Verified {
	out := Verified{Run: c.run, Name: c.name, Version: c.v.ID, State: c.state, Files: []VerifiedFile{}, Problems: []string{}, Warnings: []string{}}
	known := s.damageOf(c.v)
	whole := true
	for i, f := range c.files {
		row := VerifiedFile{Path: f.Path, Format: cmp.Or(f.Format, "opaque"), Size: f.Size}
		if p := c.proofs[i]; p != nil {
			row.Checked, row.By, row.Problem = p.err == nil, p.by, p.problem()
			if k := slices.IndexFunc(known, func(d Damage) bool { return d.Path == f.Path }); row.Problem == "" && k >= 0 {
				row.Problem = known[k].Problem + " (found before; --deep reads it again)"
			}
			row.OK = row.Problem == ""
			switch {
			case !row.OK && p.stranger:
				out.Warnings = append(out.Warnings, f.Path+" is damaged, and no part of the checkpoint")
			case row.OK && p.deep && p.by == "":
				out.Warnings = append(out.Warnings, unproved(f.Path, row.Format))
			}
			whole = whole && (row.OK || p.stranger)
		} else {
			whole = false
		}
		out.Files = append(out.Files, row)
	}
	if c.read() {
		if why := s.unlike(c.v); why != "" {
			out.Problems, whole = append(out.Problems, why), false
		}
	}
	if len(known) > 0 && out.State == policy.Committed {
		out.State = policy.Invalid
	}
	out.OK = whole
	return out
}

func (p *proof) problem() string {
	switch {
	case p.damage != "":
		return p.damage
	case p.changed != "":
		return p.changed
	case p.err != nil:
		return "it could not be looked at: " + p.err.Error()
	}
	return ""
}

// unlike says how the files of a version are others than its manifest says; ""
// when they are those.
func (s *Store) unlike(v *Version) string {
	s.mu.RLock()
	m := v.Manifest
	s.mu.RUnlock()
	why := ""
	err := v.location(func(dir string) error {
		if err := s.matches(dir, &m); err != nil {
			why = "it is not as it was committed: " + err.Error()
		}
		return nil
	})
	if err != nil {
		return ""
	}
	if rec := s.recordOf(v); why != "" && s.opts.Outside != nil && rec != nil {
		s.lookLaterAt(rec.where(), 0)
	}
	return why
}

// verifyOther reports what is no version: a save that is under way, or what lies
// under a checkpoint's name and is none.
func (s *Store) verifyOther(u subject, deep bool) Verified {
	out := Verified{Run: u.run, Name: u.name, State: u.state, Files: []VerifiedFile{}, Problems: []string{}, Warnings: []string{}}
	if u.state != policy.Invalid {
		out.OK = true
		if u.state == policy.Incomplete {
			out.Warnings = append(out.Warnings, "a save that is not complete, and not looked at: "+u.why)
		}
		return out
	}
	out.Problems = append(out.Problems, u.why)
	u.rec.mu.RLock()
	home, match, fits, together := u.rec.home(), u.rec.match, u.rec.run.layout(), !u.rec.spread() || u.rec.kept != ""
	u.rec.mu.RUnlock()
	if fits == nil || !together {
		return out
	}
	look := fits.Inspect
	if deep {
		look = fits.Verify
	}
	report, err := look(s.disk.Sub(home), match)
	if err != nil {
		return out
	}
	out.Files = append(out.Files, fileRows(report)...)
	return out
}

// verifyVersion reads every byte of one version, and marks it where that is due;
// false when it is gone.
func (s *Store) verifyVersion(v *Version, state policy.State) (Verified, bool) {
	s.mu.RLock()
	u := subject{run: v.Run, name: v.Name, state: state, v: v}
	s.mu.RUnlock()
	run := &verification{s: s, o: VerifyOptions{Deep: true}, subjects: []subject{u}}
	ctx := context.Background() // the store's end stops it
	run.begin()
	run.readAll(ctx)
	rep := run.end(ctx)
	for _, err := range run.errs {
		s.report("verify a version", err)
	}
	if len(rep.Checkpoints) == 0 {
		return Verified{}, false
	}
	return rep.Checkpoints[0], true
}

// recheck verifies one version that is marked and was changed since.
func (s *Store) recheck(v *Version) { s.verifyVersion(v, policy.Committed) }
