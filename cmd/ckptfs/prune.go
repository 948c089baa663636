package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ckptfs/policy"
)

type pruneOptions struct {
	askOptions
	keepLast int // -1: as the configuration says
	dryRun   bool
	yes      bool
}

func newPruneCommand() *cobra.Command {
	var opts pruneOptions
	cmd := &cobra.Command{
		Use:   "prune PATH",
		Short: "Delete the checkpoints that the policy does not keep",
		Long: `Delete the checkpoints that the policy does not keep, or all mid-epoch checkpoints
but the newest N. What every checkpoint is kept or deleted for is printed first,
then it asks. What latest/, resume/ or best/ shows, the last valid checkpoint,
and what is pinned, open or being saved is never deleted.`,
		Example: `  ckptfs prune --dry-run checkpoints/codebert
  ckptfs prune --keep-last 2 --yes checkpoints/codebert`,
		Args: operands(1, 1, "one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("keep-last") && opts.keepLast < 0 {
				return usageError("--keep-last %d: give the number of mid-epoch checkpoints to keep, 0 for none", opts.keepLast)
			}
			if opts.json && !opts.yes && !opts.dryRun {
				return usageError("--json cannot ask; add --yes or --dry-run")
			}
			return runPrune(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, args[0])
		},
	}
	opts.addFlags(cmd)
	cmd.Flags().IntVar(&opts.keepLast, "keep-last", -1, "keep only the newest `N` mid-epoch checkpoints, instead of what the policy says")
	cmd.Flags().BoolVarP(&opts.dryRun, "dry-run", "n", false, "print what would be deleted, and delete nothing")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&opts.yes, "auto", false, "the same as --yes")
	return cmd
}

func runPrune(ctx context.Context, in io.Reader, out, notes io.Writer, opts pruneOptions, path string) error {
	t, err := findTarget(path)
	if err != nil {
		return err
	}
	open := work
	if opts.dryRun {
		open = look
	}
	src, err := open(t, opts.config)
	if err != nil {
		return err
	}
	plan, err := decide(src, t, opts, time.Now())
	if err == nil {
		err = carryOut(ctx, in, out, notes, opts, src, plan)
	}
	if closed := src.Close(); err == nil {
		err = closed
	}
	return err
}

// carryOut prints the decisions, asks, and deletes.
func carryOut(ctx context.Context, in io.Reader, out, notes io.Writer, opts pruneOptions, src source, plan pruning) error {
	doomed := plan.doomed()
	if !opts.json {
		if err := printDecisions(out, plan); err != nil {
			return err
		}
	}
	var failed error
	if doomed > 0 && !opts.dryRun {
		what := fmt.Sprintf("Delete %s (%s)?", count(doomed, "checkpoint"), size(plan.Freed))
		if !opts.yes && !ask(in, notes, what) {
			return refusedError("nothing was deleted; answer y, or give --yes")
		}
		failed = plan.deleteAll(ctx, src, notes)
	}
	if opts.json {
		if err := writeJSON(out, plan); err != nil {
			return err
		}
		return failed
	}
	switch {
	case opts.dryRun:
		fmt.Fprintf(notes, "A dry run: nothing was deleted.\n")
	case doomed == 0:
		fmt.Fprintf(notes, "Nothing to delete.\n")
	default:
		fmt.Fprintf(notes, "Deleted %s (%s); the space comes back when the trash is emptied, after retention.trash_ttl or when it is needed.\n",
			count(plan.doomed(), "checkpoint"), size(plan.Freed))
	}
	return failed
}

// printDecisions writes the table. It is the same for a dry run and a real one.
func printDecisions(out io.Writer, plan pruning) error {
	for _, rules := range slices.Compact(plan.rules) { // of runs that differ, each in its turn
		fmt.Fprintln(out, rules)
	}
	table := newTable(out)
	fmt.Fprintln(table, "ACTION\tCHECKPOINT\tSIZE\tREASON")
	for _, d := range plan.Decisions {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", strings.ToUpper(string(d.Action)), d.label(), size(d.Size), strings.Join(d.Reasons, "; "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s to delete, %s.\n", count(plan.doomed(), "checkpoint"), size(plan.Freed))
	return err
}

// deleteAll deletes what was decided, and turns what cannot be deleted any more
// into what is kept, with the reason.
func (p *pruning) deleteAll(ctx context.Context, src source, notes io.Writer) error {
	kept := 0
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if d.Action != policy.ActionDelete {
			continue
		}
		err := ctx.Err()
		if err == nil {
			err = src.Delete(d.path(), d.ID, strings.Join(d.Reasons, "; "))
		}
		if err != nil {
			kept++
			d.Action, d.Reasons = policy.ActionKeep, []string{err.Error()}
			p.Freed -= d.Size
			fmt.Fprintf(notes, "%s was kept: %v\n", d.path(), err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case kept > 0:
		return refusedError("%s could not be deleted now; try again", count(kept, "checkpoint"))
	}
	return nil
}
