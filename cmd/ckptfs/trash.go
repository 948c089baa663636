package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"ckptfs/fs/store"
)

type trashOptions struct {
	askOptions
	all bool
}

func newTrashCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trash",
		Short: "List what was deleted, or remove it for good",
		Long: `What is deleted, by you or by the policy, lies in the trash for retention.trash_ttl,
and ckptfs restore takes it back.`,
		Args: func(cmd *cobra.Command, args []string) error {
			return usageError("trash takes list or empty; see %s --help", cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTrashListCommand(), newTrashEmptyCommand())
	return cmd
}

func newTrashListCommand() *cobra.Command {
	var opts trashOptions
	cmd := &cobra.Command{
		Use:     "list PATH",
		Short:   "List what was deleted, and until when it can be restored",
		Example: `  ckptfs trash list checkpoints/codebert`,
		Args:    operands(1, 1, "one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTrashList(cmd.OutOrStdout(), opts, args[0])
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func newTrashEmptyCommand() *cobra.Command {
	var opts trashOptions
	cmd := &cobra.Command{
		Use:   "empty PATH",
		Short: "Remove for good what was deleted",
		Long: `Remove for good what lies in the trash, whatever its age. The newest valid version
of a run that has no other is kept, unless --all is given; what somebody has open
is kept until he has closed it.`,
		Example: `  ckptfs trash empty checkpoints/codebert`,
		Args:    operands(1, 1, "one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTrashEmpty(cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, args[0])
		},
	}
	opts.addFlags(cmd)
	cmd.Flags().BoolVar(&opts.all, "all", false, "also the newest valid version of a run that has no other")
	return cmd
}

// trashOf lists the trash of the runs at and below PATH.
func trashOf(src source, t target) (store.TrashReport, error) {
	rep, err := src.Trash()
	if err != nil {
		return rep, err
	}
	kept := store.TrashReport{Trash: []store.TrashRow{}}
	for _, row := range rep.Trash {
		if t.holds(row.Run) {
			kept.Trash = append(kept.Trash, row)
		}
	}
	return kept, nil
}

func runTrashList(out io.Writer, opts trashOptions, dir string) error {
	src, t, err := lookAt(dir, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	rep, err := trashOf(src, t)
	if err != nil {
		return err
	}
	if opts.json {
		return writeJSON(out, rep)
	}
	if len(rep.Trash) == 0 {
		_, err := fmt.Fprintln(out, "The trash is empty.")
		return err
	}
	return printTrash(out, rep, time.Now())
}

func printTrash(out io.Writer, rep store.TrashReport, now time.Time) error {
	table := newTable(out)
	fmt.Fprintln(table, "CHECKPOINT\tVERSION\tEPOCH\tSTEP\tSIZE\tDELETED\tKEPT\tREASON")
	total := int64(0)
	for _, r := range rep.Trash {
		total += r.Size
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", path.Join(r.Run, r.Name), r.Version, number(r.Epoch),
			number(cmp.Or(r.Step, r.GlobalStep)), size(r.Size), humanize.RelTime(r.DeletedAt, now, "ago", ""), kept(r, now), r.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s, %s.\n", count(len(rep.Trash), "deleted version"), size(total))
	return err
}

// kept is how long an entry of the trash stays.
func kept(r store.TrashRow, now time.Time) string {
	switch {
	case r.Protected:
		return "until its run has another"
	case r.InUse:
		return "while it is open"
	case r.ExpiresAt.Before(now):
		return "until the next look"
	}
	return "for " + strings.TrimSpace(humanize.RelTime(*r.ExpiresAt, now, "", ""))
}

// emptied is `trash empty --json`.
type emptied struct {
	Removed []store.TrashRow `json:"removed"`
	Kept    []store.TrashRow `json:"kept"` // each with the reason
	Freed   int64            `json:"freed"`
}

func runTrashEmpty(out, notes io.Writer, opts trashOptions, dir string) error {
	src, t, err := workAt(dir, opts.config)
	if err != nil {
		return err
	}
	done, err := emptyTrash(src, t, notes, opts.all)
	if closed := src.Close(); err == nil {
		err = closed
	}
	var refused *coded
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if opts.json {
		if e := writeJSON(out, done); e != nil {
			return e
		}
	} else {
		fmt.Fprintf(out, "Removed %s, %s.\n", count(len(done.Removed), "deleted version"), size(done.Freed))
	}
	return err
}

// emptyTrash removes one entry after the other. What has to stay stays, with the
// reason.
func emptyTrash(src source, t target, notes io.Writer, all bool) (emptied, error) {
	done := emptied{Removed: []store.TrashRow{}, Kept: []store.TrashRow{}}
	rep, err := trashOf(src, t)
	if err != nil {
		return done, err
	}
	for _, r := range rep.Trash {
		if err := src.Shred(r.Version, all); err != nil {
			r.Reason = err.Error()
			done.Kept = append(done.Kept, r)
			fmt.Fprintf(notes, "Kept: %v\n", err)
			continue
		}
		done.Removed = append(done.Removed, r)
		done.Freed += r.Size
	}
	if n := len(done.Kept); n > 0 {
		return done, refusedError("the trash still holds %s", count(n, "deleted version"))
	}
	return done, nil
}
