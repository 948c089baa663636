package main

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
)

type verifyOptions struct {
	askOptions
	deep   bool
	all    bool
	again  bool
	strict bool
}

func newVerifyCommand() *cobra.Command {
	var opts verifyOptions
	cmd := &cobra.Command{
		Use:   "verify PATH...",
		Short: "Look whether checkpoints are whole",
		Long: `Look whether checkpoints are whole: a run, all runs of a directory, one checkpoint,
or what a view shows. The structure of every file is looked at. With --deep
every byte is read, and has to be what was committed, or to agree with the
checksums of its format where it was not saved through ckptfs.

What is damaged is marked: no view shows it any more, and no rule deletes it. Once
it was copied back from a backup, verify --deep takes the mark away.

A deep verification that was interrupted is gone on with by the same command
within a day.`,
		Example: `  ckptfs verify checkpoints/codebert
  ckptfs verify --deep --all checkpoints
  ckptfs verify --deep checkpoints/codebert/latest`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("verify takes at least one PATH; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, args)
		},
	}
	opts.addFlags(cmd)
	cmd.Flags().BoolVarP(&opts.deep, "deep", "d", false, "read every byte, not only what tells of the structure")
	cmd.Flags().BoolVarP(&opts.all, "all", "a", false, "also earlier versions, and what is in the trash")
	cmd.Flags().BoolVar(&opts.again, "again", false, "begin anew, whatever an interrupted verification had proved")
	cmd.Flags().BoolVar(&opts.strict, "strict", false, "take warnings for damage")
	return cmd
}

// verification is `verify --json`: what was found in all of the PATHs.
type verification struct {
	Checkpoints []verified `json:"checkpoints"`
	Deep        bool       `json:"deep"`
	Interrupted bool       `json:"interrupted"`
	Files       int        `json:"files"` // to be looked at
	FilesDone   int        `json:"files_done"`
	Bytes       int64      `json:"bytes"` // that were read of their content
	Seconds     float64    `json:"seconds"`

	goneOnWith int // files that were proved before an interruption
}

// verified is one checkpoint, and where it was found.
type verified struct {
	Directory string `json:"directory"`
	store.Verified
}

func runVerify(ctx context.Context, out, notes io.Writer, opts verifyOptions, paths []string) error {
	all := verification{Checkpoints: []verified{}, Deep: opts.deep}
	var failed error
	for _, arg := range paths {
		if ctx.Err() != nil {
			all.Interrupted = true
			break
		}
		if err := verifyPath(ctx, notes, opts, arg, &all); err != nil && failed == nil {
			failed = err
		}
	}
	if opts.strict {
		all.takeWarnings()
	}
	if opts.json {
		if err := writeJSON(out, all); err != nil {
			return err
		}
	} else if err := printVerified(out, all); err != nil {
		return err
	}
	return all.verdict(failed)
}

// add takes in the report of one PATH.
func (a *verification) add(dir string, rep store.VerifyReport) {
	for _, v := range rep.Checkpoints {
		a.Checkpoints = append(a.Checkpoints, verified{dir, v})
	}
	a.Interrupted = a.Interrupted || rep.Interrupted
	a.Files += rep.Files
	a.FilesDone += rep.FilesDone
	a.Bytes += rep.Bytes
	a.Seconds += rep.Seconds
	if rep.Since != nil {
		a.goneOnWith += rep.Proved
	}
}

// takeWarnings is --strict.
func (a *verification) takeWarnings() {
	for i := range a.Checkpoints {
		if len(a.Checkpoints[i].Warnings) > 0 {
			a.Checkpoints[i].OK = false
		}
	}
}

// bad counts the checkpoints that are not whole, as far as they were looked at.
func (a *verification) bad(strict func(v verified) bool) (n int) {
	for _, v := range a.Checkpoints {
		if strict(v) {
			n++
		}
	}
	return n
}

// isDamaged reports whether something was found to be wrong. What could not be
// looked at says nothing.
func isDamaged(v verified) bool {
	wrong := func(f store.VerifiedFile) bool { return f.Checked && !f.OK }
	return !v.OK && (len(v.Problems) > 0 || slices.ContainsFunc(v.Files, wrong) || v.complete())
}

// complete reports whether every file was looked at.
func (v verified) complete() bool {
	for _, f := range v.Files {
		if !f.Checked {
			return false
		}
	}
	return true
}

// verdict is how the command ends.
func (a *verification) verdict(failed error) error {
	damaged := a.bad(isDamaged)
	found := ""
	if damaged > 0 {
		found = damagedWords(damaged)
	}
	switch {
	case a.Interrupted:
		again := ""
		if a.Deep {
			again = "; the same command goes on from there"
		}
		err := interruptedError("interrupted: %d of %s were looked at%s", a.FilesDone, count(a.Files, "file"), again)
		if found != "" {
			err = interruptedError("%s\n%w", found, err)
		}
		return err
	case damaged > 0:
		return damageError("%s", found)
	}
	return failed
}
