package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

type benchOptions struct {
	size string
	json bool
}

func newBenchCommand() *cobra.Command {
	var opts benchOptions
	cmd := &cobra.Command{
		Use:   "bench [DIR]",
		Short: "Measure saving and loading through a mount against DIR itself",
		Long: `Save and load a checkpoint of the given size in DIR, once directly and once through
a mount, by turns in one run. The mount and all that is written are taken away again.
Saving is timed to the close of the last file; loading is warm, from the page cache.`,
		Example: `  ckptfs bench --size 2GiB checkpoints`,
		Args:    operands(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bytes, err := humanize.ParseBytes(opts.size)
			if err != nil || bytes == 0 || bytes > 1<<50 {
				return usageError("bench: --size %s: write a number and a unit, such as 512MiB or 2GB", opts.size)
			}
			return runBench(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts.json, operand(args), int64(bytes))
		},
	}
	cmd.Flags().StringVar(&opts.size, "size", "512MiB", "the `SIZE` of the checkpoint")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// rounds is how often each side saves and loads. The fastest round counts: what
// else a machine does can only add to the time. In a virtual machine that is up
// to a factor of ten, for memory that the host has to find first, and it hits
// one side or the other by chance, so that medians say nothing.
const rounds = 7

// benchmark is `bench --json`. Throughput is in bytes per second.
type benchmark struct {
	Size        int64      `json:"size"` // bytes
	Rounds      int        `json:"rounds"`
	Passthrough bool       `json:"passthrough"`
	Save        comparison `json:"save"`
	Load        comparison `json:"load"`
}

// comparison holds the fastest rounds.
type comparison struct {
	Direct  float64 `json:"direct"`
	Mounted float64 `json:"mounted"`
	Ratio   float64 `json:"ratio"` // mounted to direct: 1 is no loss
}

// benchConfig commits when it is told to, and keeps nothing that a round has left.
const benchConfig = `save: {settle: 1h}
retention:
  history: {keep_last: 0}
  trash_ttl: 0s
  protect_last: false
`

func runBench(ctx context.Context, out, notes io.Writer, asJSON bool, dir string, bytes int64) error {
	real, err := directory(dir)
	if err != nil {
		return err
	}
	if sp, err := spaceOf(real); err != nil {
		return err
	} else if need := (rounds + 2) * bytes; sp.Free < need {
		return fmt.Errorf("%s has %s free, and %s is needed; give a smaller --size", real, size(sp.Free), size(need))
	}
	scratch, err := os.MkdirTemp(real, ".ckptfs-bench-")
	if err != nil {
		return err
	}
	result, err := measure(ctx, notes, scratch, bytes)
	if err := errors.Join(err, os.RemoveAll(scratch)); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, result)
	}
	return result.print(out)
}

// measure mounts a directory below scratch, and unmounts it however it ends.
func measure(ctx context.Context, notes io.Writer, scratch string, bytes int64) (result benchmark, err error) {
	direct, mount := filepath.Join(scratch, "direct"), filepath.Join(scratch, "mounted")
	if err := errors.Join(os.Mkdir(direct, 0o755), os.Mkdir(mount, 0o755)); err != nil {
		return result, err
	}
	config := filepath.Join(scratch, "config.yaml")
	if err := os.WriteFile(config, []byte(benchConfig), 0o644); err != nil {
		return result, err
	}
	if err := runSelf(ctx, "mount", "--config", config, "--layout", "enstack", mount); err != nil {
		return result, fmt.Errorf("mount for the measurement: %w", err)
	}
	// Also after it was interrupted.
	defer func() { err = errors.Join(err, runSelf(context.WithoutCancel(ctx), "umount", mount)) }()
	rep, err := daemon(mount).Status()
	if err != nil {
		return result, err
	}
	result = benchmark{Size: bytes, Rounds: rounds, Passthrough: rep.Passthrough}
	sides := []*benchSide{{
		run:    direct,
		commit: func(string) error { return nil },
		newest: func(name string) string { return filepath.Join(direct, name) },
	}, {
		run:    mount,
		commit: func(name string) error { return daemon(mount).Commit(name, false) },
		newest: func(string) string { return filepath.Join(mount, "latest") },
	}}
	for i := range rounds {
		if isTerminal(notes) {
			fmt.Fprintf(notes, "\r\x1b[Kround %d of %d", i+1, rounds)
		}
		for j := range sides { // who goes first changes from round to round
			if err := sides[(i+j)%len(sides)].round(ctx, i+1, bytes); err != nil {
				return result, err
			}
		}
	}
	if isTerminal(notes) {
		fmt.Fprint(notes, "\r\x1b[K")
	}
	result.Save = compare(bytes, sides[0].save, sides[1].save)
	result.Load = compare(bytes, sides[0].load, sides[1].load)
	return result, nil
}

func compare(bytes int64, direct, mounted []time.Duration) comparison {
	d, m := slices.Min(direct), slices.Min(mounted)
	rate := func(t time.Duration) float64 { return float64(bytes) / max(t, 1).Seconds() }
	return comparison{Direct: rate(d), Mounted: rate(m), Ratio: rate(m) / rate(d)}
}

func (b benchmark) print(out io.Writer) error {
	through := "without passthrough"
	if b.Passthrough {
		through = "with passthrough"
	}
	fmt.Fprintf(out, "A checkpoint of %s, %s, fastest of %d rounds\n", size(b.Size), through, b.Rounds)
	table := newTable(out)
	fmt.Fprintln(table, "\tDIRECT\tMOUNTED\tRATIO")
	for _, row := range []struct {
		name string
		comparison
	}{{"save", b.Save}, {"load", b.Load}} {
		fmt.Fprintf(table, "%s\t%s/s\t%s/s\t%.2f\n", row.name, size(int64(row.Direct)), size(int64(row.Mounted)), row.Ratio)
	}
	return table.Flush()
}
