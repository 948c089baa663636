package main

import (
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

// printVerified writes a line for each checkpoint, and below it what is wrong.
func printVerified(out io.Writer, all verification) error {
	if len(all.Checkpoints) == 0 {
		return nil
	}
	several := all.bad(func(v verified) bool { return v.Directory != all.Checkpoints[0].Directory }) > 0
	table := newTable(out)
	fmt.Fprintln(table, "CHECKPOINT\tSTATE\tFILES\tSIZE\tFOUND")
	for _, v := range all.Checkpoints {
		bytes := int64(0)
		for _, f := range v.Files {
			bytes += f.Size
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", v.label(several), v.State, len(v.Files), size(bytes), v.found())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, v := range all.Checkpoints {
		for _, what := range v.Damage() {
			fmt.Fprintf(out, "  %s: %s\n", v.label(several), what)
		}
		for _, what := range v.Warnings {
			fmt.Fprintf(out, "  %s: warning: %s\n", v.label(several), what)
		}
	}
	_, err := fmt.Fprintln(out, all.summary())
	return err
}

// label is the checkpoint as the other commands call it.
func (v verified) label(withDirectory bool) string {
	name := path.Join(v.Run, v.Name)
	if withDirectory {
		name = filepath.Join(v.Directory, name)
	}
	if v.State == policy.History || v.State == policy.Trash {
		name += "@" + v.Version
	}
	return name
}

// found says in a word or two what was found.
func (v verified) found() string {
	var by []string
	for _, f := range v.Files {
		if f.Checked && f.By != "" && !slices.Contains(by, f.By) {
			by = append(by, f.By)
		}
	}
	slices.Sort(by)
	switch {
	case isDamaged(v) && !v.complete():
		return "damaged, and not looked at to its end"
	case isDamaged(v) && len(v.Damage()) > 0:
		return "damaged"
	case isDamaged(v):
		return "not proved" // --strict
	case len(v.Damage()) > 0 && !v.OK:
		return "could not be looked at"
	case !v.complete():
		return "not looked at to its end"
	case len(by) == 0:
		return "-"
	}
	return "whole (" + strings.Join(by, ", ") + ")"
}

func (a *verification) summary() string {
	line := fmt.Sprintf("%s, %s looked at", count(len(a.Checkpoints), "checkpoint"), count(a.FilesDone, "file"))
	if a.goneOnWith > 0 {
		line += fmt.Sprintf(" and %d before the interruption", a.goneOnWith)
	}
	if a.Deep && a.Bytes > 0 {
		line += fmt.Sprintf(", %s read", size(a.Bytes))
		if a.Seconds >= 1 {
			line += fmt.Sprintf(" in %s, %s/s", time.Duration(a.Seconds*float64(time.Second)).Round(time.Second), size(int64(float64(a.Bytes)/a.Seconds)))
		}
	}
	if n := a.bad(isDamaged); n > 0 {
		return line + fmt.Sprintf(": %d damaged.", n)
	}
	if a.Interrupted {
		return line + ": nothing is damaged so far."
	}
	return line + ": nothing is damaged."
}

func damagedWords(n int) string {
	are := "is"
	if n > 1 {
		are = "are"
	}
	return fmt.Sprintf("%s %s damaged; ckptfs explain says what the views show instead", count(n, "checkpoint"), are)
}

// verifyProgress shows on a terminal how far a deep verification has come. Without
// --deep it is over before anybody has read that.
func verifyProgress(notes io.Writer, opts verifyOptions) *progressBar {
	if opts.json || !opts.deep {
		notes = io.Discard
	}
	return newProgress(notes, "verify")
}

// tellProgress draws it.
func tellProgress(bar *progressBar, at store.VerifyProgress) {
	if at.Damaged > 0 {
		bar.what = fmt.Sprintf("verify, %s damaged", count(at.Damaged, "file"))
	}
	bar.at(at.BytesDone, at.Bytes)
}
