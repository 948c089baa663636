package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

type benchOptions struct {
	size          string
	cases         []string
	rounds        int
	checkpoints   int
	noPassthrough bool
	peers         []string
	into          string
	deleting      string
	json          bool
}

const benchHelp = `Do what trainers and shells do to checkpoints, in DIR itself and through a mount, by
turns in one run. The mount and all that is written are taken away again.

The fastest round counts: what else a machine does can only add to the time. In a
virtual machine that is up to a factor of ten, for memory that the host has to find
first, and it hits one side or the other by chance; medians are told beside it.
A ratio is the time of the disk to the time of the mount: 1 is no loss.

Cases, all of them unless --cases says otherwise:
`

func newBenchCommand() *cobra.Command {
	var opts benchOptions
	cmd := &cobra.Command{
		Use:   "bench [DIR]",
		Short: "Measure what a mount costs against DIR itself",
		Long:  benchHelp + describeCases(),
		Example: `  ckptfs bench --size 2GiB checkpoints
  ckptfs bench --cases save,load,list --no-passthrough checkpoints
  ckptfs bench --deleting 10GiB checkpoints`,
		Args: operands(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := opts.plan()
			if err != nil {
				return err
			}
			if opts.deleting != "" {
				return runDeleteBench(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, plan.bytes, operand(args))
			}
			return runBench(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, plan, operand(args))
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.size, "size", "512MiB", "the `SIZE` of the checkpoint that is saved and loaded")
	f.StringSliceVar(&opts.cases, "cases", nil, "measure these `CASES` only, as in save,load")
	f.IntVar(&opts.rounds, "rounds", 7, "how often each case is measured")
	f.IntVar(&opts.checkpoints, "checkpoints", 300, "the `NUMBER` of checkpoints that are listed")
	f.BoolVar(&opts.noPassthrough, "no-passthrough", false, "measure a mount without passthrough, too, as users have who are not root")
	f.StringArrayVar(&opts.peers, "peer", nil, "measure another file system, too; `NAME=COMMAND` gets a directory and a mountpoint")
	f.StringVar(&opts.into, "into", "", "put the table, in Markdown, between the marks in `FILE`")
	f.StringVar(&opts.deleting, "deleting", "", "instead of the cases, measure what a save costs while a history of this `SIZE` is deleted")
	f.BoolVar(&opts.json, "json", false, "print JSON")
	f.MarkHidden("into") // it fails only for a flag that there is not
	return cmd
}

// benchPlan is what to measure, with everything worked out.
type benchPlan struct {
	bytes         int64 // of a checkpoint that is saved
	rounds        int
	checkpoints   int
	cases         []benchCase
	noPassthrough bool
	peers         []benchPeer
}

func (o benchOptions) plan() (benchPlan, error) {
	p := benchPlan{rounds: o.rounds, checkpoints: o.checkpoints, cases: benchCases, noPassthrough: o.noPassthrough}
	bytes, err := humanize.ParseBytes(o.size)
	if err != nil || bytes == 0 || bytes > 1<<50 {
		return p, usageError("bench: --size %s: write a number and a unit, such as 512MiB or 2GB", o.size)
	}
	p.bytes = int64(bytes)
	if o.rounds < 1 || o.checkpoints < 1 {
		return p, usageError("bench: --rounds and --checkpoints are at least 1")
	}
	if len(o.cases) > 0 {
		p.cases = nil
	}
	for _, name := range o.cases {
		i := slices.IndexFunc(benchCases, func(c benchCase) bool { return c.name == name })
		if i < 0 {
			return p, usageError("bench: no case is called %q; there are: %s", name, strings.Join(caseNames(), ", "))
		}
		p.cases = append(p.cases, benchCases[i])
	}
	for _, text := range o.peers {
		name, command, ok := strings.Cut(text, "=")
		if words := strings.Fields(command); ok && name != "" && len(words) > 0 {
			p.peers = append(p.peers, benchPeer{name, words})
			continue
		}
		return p, usageError("bench: --peer %s: write NAME=COMMAND", text)
	}
	return p, nil
}

func runBench(ctx context.Context, out, notes io.Writer, opts benchOptions, plan benchPlan, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	real, err := directory(abs)
	if err != nil {
		return err
	}
	if sp, err := spaceOf(real); err != nil {
		return err
	} else if need := plan.space(); sp.Free < need {
		return fmt.Errorf("%s has %s free, and %s is needed; give a smaller --size", real, size(sp.Free), size(need))
	}
	scratch, err := os.MkdirTemp(real, ".ckptfs-bench-")
	if err != nil {
		return err
	}
	b := &bench{benchPlan: plan, notes: notes, scratch: scratch}
	result, err := b.measure(ctx)
	if err := errors.Join(err, os.RemoveAll(scratch)); err != nil {
		if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
			err = interruptedError("interrupted: %w", err) // and something failed because of it
		}
		return err
	}
	switch {
	case opts.into != "":
		return result.writeInto(opts.into)
	case opts.json:
		return writeJSON(out, result)
	}
	return result.print(out)
}

// space is what a run may need: each side has a checkpoint that is loaded, one
// that is saved, and what it has not yet let go.
func (p benchPlan) space() int64 { return int64(3+len(p.peers)) * 4 * p.bytes }
