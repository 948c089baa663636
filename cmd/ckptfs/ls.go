package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
	"ckptfs/layout"
	"ckptfs/policy"
)

type lsOptions struct {
	askOptions
	all  bool
	kind string
}

func newLsCommand() *cobra.Command {
	var opts lsOptions
	cmd := &cobra.Command{
		Use:   "ls [PATH]",
		Short: "List the checkpoints and the views that show them",
		Example: `  ckptfs ls checkpoints/codebert
  ckptfs ls --kind mid_epoch checkpoints/codebert
  ckptfs ls --all --json checkpoints | jq '.runs[].checkpoints[].name'`,
		Args: operands(0, 1, "at most one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLs(cmd.OutOrStdout(), opts, operand(args))
		},
	}
	opts.addFlags(cmd)
	cmd.Flags().StringVar(&opts.kind, "kind", "", "list only checkpoints of this `KIND`, such as mid_epoch or best, and what they take together")
	cmd.Flags().BoolVarP(&opts.all, "all", "a", false, "also list history, trash, quarantine and incomplete saves")
	return cmd
}

func runLs(out io.Writer, opts lsOptions, path string) error {
	src, t, err := lookAt(path, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	all, err := src.List()
	if err != nil {
		return err
	}
	rep, hidden := selectRows(all, t, opts.all)
	if opts.kind != "" {
		if err := onlyKind(rep, layout.Kind(opts.kind)); err != nil {
			return err
		}
		clear(hidden)
	}
	if opts.json {
		return writeJSON(out, rep)
	}
	if err := printList(out, rep, hidden, time.Now()); err != nil || opts.kind == "" {
		return err
	}
	return printTotal(out, rep)
}

// onlyKind leaves only the rows of a kind.
func onlyKind(rep store.ListReport, kind layout.Kind) error {
	if !slices.Contains(layout.Kinds, kind) {
		return usageError("ls: --kind %s: the kinds are %s", kind, words(layout.Kinds))
	}
	for i := range rep.Runs {
		other := func(row store.CheckpointRow) bool { return row.Kind != kind }
		rep.Runs[i].Checkpoints = slices.DeleteFunc(rep.Runs[i].Checkpoints, other)
	}
	return nil
}

func words(kinds []layout.Kind) string {
	var all []string
	for _, kind := range kinds {
		all = append(all, string(kind))
	}
	return strings.Join(all, ", ")
}

// printTotal says what the rows take together.
func printTotal(out io.Writer, rep store.ListReport) error {
	n, bytes := 0, int64(0)
	for _, r := range rep.Runs {
		for _, row := range r.Checkpoints {
			n++
			bytes += row.Size
		}
	}
	_, err := fmt.Fprintf(out, "%s, %s.\n", count(n, "checkpoint"), size(bytes))
	return err
}

// selectRows keeps the runs at and below PATH, and what of them is listed
// without --all. hidden counts what is left out, by state.
func selectRows(rep store.ListReport, t target, all bool) (kept store.ListReport, hidden map[policy.State]int) {
	kept.Runs, hidden = []store.RunList{}, map[policy.State]int{}
	for _, r := range rep.Runs {
		if !t.holds(r.Path) {
			continue
		}
		rows := []store.CheckpointRow{}
		for _, row := range r.Checkpoints {
			if all || !onlyWithAll[row.State] {
				rows = append(rows, row)
			} else {
				hidden[row.State]++
			}
		}
		r.Checkpoints = rows
		kept.Runs = append(kept.Runs, r)
	}
	return kept, hidden
}

// onlyWithAll are the states that ls leaves out unless it is asked for all.
var onlyWithAll = map[policy.State]bool{
	policy.Incomplete: true, policy.History: true, policy.Trash: true, policy.Quarantine: true,
}

func printList(out io.Writer, rep store.ListReport, hidden map[policy.State]int, now time.Time) error {
	var shown []store.RunList
	for _, r := range rep.Runs {
		if len(r.Checkpoints) > 0 {
			shown = append(shown, r)
		}
	}
	if len(shown) == 0 {
		fmt.Fprintln(out, "No checkpoints.")
	}
	for i, r := range shown {
		if len(shown) > 1 {
			if i > 0 {
				fmt.Fprintln(out)
			}
			fmt.Fprintf(out, "%s (%s)\n", r.Path, r.Layout)
		}
		if err := printRows(out, r.Checkpoints, now); err != nil {
			return err
		}
	}
	var more []string
	for _, state := range []policy.State{policy.Incomplete, policy.History, policy.Trash, policy.Quarantine} {
		if n := hidden[state]; n > 0 {
			more = append(more, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(more) > 0 {
		fmt.Fprintf(out, "\nNot listed: %s; ckptfs ls --all shows them.\n", strings.Join(more, ", "))
	}
	return nil
}

func printRows(out io.Writer, rows []store.CheckpointRow, now time.Time) error {
	table := newTable(out)
	fmt.Fprintln(table, "NAME\tKIND\tEPOCH\tSTEP\tSIZE\tAGE\tSTATE\tVIEWS")
	for _, c := range rows {
		state, views := string(c.State), "-"
		if c.Pinned {
			state += ", pinned"
		}
		if len(c.Views) > 0 {
			views = strings.Join(c.Views, " ")
		}
		// The step within the epoch, where trainers count so; else over the run.
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Kind, number(c.Epoch), number(cmp.Or(c.Step, c.GlobalStep)),
			size(c.Size), age(c.CommittedAt, now), state, views)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range rows {
		if c.Reason != "" {
			fmt.Fprintf(out, "  %s: %s\n", c.Name, c.Reason)
		}
		if c.PinReason != "" {
			fmt.Fprintf(out, "  %s: pinned: %s\n", c.Name, c.PinReason)
		}
	}
	return nil
}
