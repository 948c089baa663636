package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"ckptfs/policy"
)

type planOptions struct {
	askOptions
	job       policy.Job
	size      string
	mtbf      string
	saveSteps []int64
	svg       string
}

func newPlanCommand() *cobra.Command {
	var opts planOptions
	cmd := &cobra.Command{
		Use:   "plan [PATH]",
		Short: "Compare how often to save: what it costs, what a crash loses",
		Long: `Compare how often to save in an epoch: what saving costs, what a crash loses, what
stays on the disk. With PATH, what no flag gives is measured from the checkpoints of
that run. With --mtbf, the interval that costs least is worked out too.`,
		Example: `  ckptfs plan --batches-per-epoch 1270 --seconds-per-batch 3.22 --save-seconds 20 --checkpoint-size 500MB --epochs 3 --save-steps 0,500,1000
  ckptfs plan checkpoints/codebert --mtbf 12h --svg overhead.svg`,
		Args: operands(0, 1, "at most one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPlan(cmd.OutOrStdout(), opts, args)
		},
	}
	opts.addFlags(cmd)
	f := cmd.Flags()
	f.Int64Var(&opts.job.BatchesPerEpoch, policy.Batches, 0, "`N` batches make an epoch")
	f.Float64Var(&opts.job.SecondsPerBatch, policy.BatchTime, 0, "`SECONDS` that training takes for a batch")
	f.Float64Var(&opts.job.SaveSeconds, policy.SaveTime, 0, "`SECONDS` that training stands still for a save")
	f.StringVar(&opts.size, policy.SizeOfOne, "", "`SIZE` of a checkpoint, such as 500MB")
	f.Int64Var(&opts.job.Epochs, policy.EpochsOfRun, 0, "the run has `N` epochs")
	f.Int64SliceVar(&opts.saveSteps, "save-steps", nil, "compare these intervals, in batches; 0 saves only at the end of an epoch (default: round numbers)")
	f.StringVar(&opts.mtbf, "mtbf", "", "mean `TIME` between failures, such as 12h or 3d")
	f.StringVar(&opts.svg, "svg", "", "write the chart to `FILE`")
	return cmd
}

// planned is `plan --json`.
type planned struct {
	Job         policy.Job            `json:"job"`
	Strategies  []policy.Strategy     `json:"strategies"`
	Recommended policy.Recommendation `json:"recommended"`
	measured    policy.Measured
}

func runPlan(out io.Writer, opts planOptions, args []string) error {
	p, err := opts.plan(args)
	if err != nil {
		return err
	}
	if opts.svg != "" {
		if err := os.WriteFile(opts.svg, planSVG(p), 0o666); err != nil {
			return fmt.Errorf("write the chart: %w", err)
		}
	}
	if opts.json {
		return writeJSON(out, p)
	}
	return printPlan(out, p)
}

// plan compares the intervals that are asked for, and the recommended one.
func (o planOptions) plan(args []string) (p planned, err error) {
	if p.measured, err = o.measure(args); err != nil {
		return p, err
	}
	p.Job = p.measured.Job
	if err := p.Job.Check(); err != nil {
		return p, usageError("plan: %w", err)
	}
	intervals := o.saveSteps
	if len(intervals) == 0 {
		intervals = p.Job.Usual()
	}
	for _, n := range intervals {
		if n < 0 {
			return p, usageError("plan: --save-steps %d: give a number of batches, 0 for the end of an epoch", n)
		}
	}
	p.Recommended = p.Job.Recommend(intervals)
	if !slices.Contains(intervals, p.Recommended.SaveSteps) {
		intervals = append(slices.Clone(intervals), p.Recommended.SaveSteps)
	}
	for _, n := range intervals {
		p.Strategies = append(p.Strategies, p.Job.Plan(n))
	}
	return p, nil
}

// measure gathers what the flags say, and what the run at PATH does.
func (o planOptions) measure(args []string) (m policy.Measured, err error) {
	given := o.job
	for _, flag := range []struct {
		name  string
		value float64
	}{
		{policy.Batches, float64(given.BatchesPerEpoch)}, {policy.BatchTime, given.SecondsPerBatch},
		{policy.SaveTime, given.SaveSeconds}, {policy.EpochsOfRun, float64(given.Epochs)},
	} {
		if flag.value < 0 || math.IsNaN(flag.value) {
			return m, usageError("plan: --%s %v: give a number above 0", flag.name, flag.value)
		}
	}
	if o.size != "" {
		if given.CheckpointSize, err = policy.ParseSize(o.size); err != nil {
			return m, usageError("plan: --%s: %w", policy.SizeOfOne, err)
		}
	}
	if o.mtbf != "" {
		if given.MTBF, err = policy.ParseDuration(o.mtbf); err != nil || given.MTBF == 0 {
			return m, usageError("plan: --mtbf %q is no time between failures; write a number and a unit, such as 12h or 3d", o.mtbf)
		}
	}
	var saves []policy.Save
	if len(args) > 0 {
		if saves, err = history(o.askOptions, args[0]); err != nil {
			return m, err
		}
	}
	m = policy.Measure(saves, given)
	var lacks []string
	for _, flag := range []string{policy.Batches, policy.BatchTime, policy.SaveTime, policy.SizeOfOne, policy.EpochsOfRun} {
		switch why, unknown := m.Unknown[flag]; {
		case unknown && len(args) > 0:
			lacks = append(lacks, fmt.Sprintf("--%s (%s)", flag, why))
		case unknown:
			lacks = append(lacks, "--"+flag)
		}
	}
	switch {
	case len(lacks) > 0 && len(args) > 0:
		return m, usageError("plan: %s does not tell everything; add %s", args[0], strings.Join(lacks, ", "))
	case len(lacks) > 0:
		return m, usageError("plan: add %s, or the PATH of a run to measure them from", strings.Join(lacks, ", "))
	}
	return m, nil
}

func printPlan(out io.Writer, p planned) error {
	j := p.Job
	fmt.Fprintf(out, "%s of %s, %s a batch; %s a save of %s\n", count(int(j.Epochs), "epoch"), countBatches(j.BatchesPerEpoch),
		trimmed(j.SecondsPerBatch), policy.Span(j.SaveSeconds), humanize.Bytes(uint64(j.CheckpointSize)))
	for _, flag := range []string{policy.Batches, policy.BatchTime, policy.SaveTime, policy.SizeOfOne, policy.EpochsOfRun} {
		if from := p.measured.From[flag]; from != "" {
			fmt.Fprintf(out, "  %s is measured: %s\n", flag, from)
		}
	}
	fmt.Fprintln(out)
	if err := printStrategies(out, p); err != nil {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprint(out, planChart(p, width(out)))
	every := fmt.Sprintf("save every %d steps and at the end of an epoch", p.Recommended.SaveSteps)
	switch p.Recommended.SaveSteps {
	case 0:
		every = "save at the end of an epoch only"
	case 1:
		every = "save after every batch"
	}
	_, err := fmt.Fprintf(out, "\nRecommended: %s (save_steps %d): %s.\n", every, p.Recommended.SaveSteps, p.Recommended.Reason)
	return err
}

func printStrategies(out io.Writer, p planned) error {
	table := newTable(out)
	head, mtbf := "SAVE_STEPS\tMID-EPOCH SAVES\tSAVING\tEPOCH\tLOST AT MOST\tLOST ON AVERAGE\tDISK", p.Job.MTBF > 0
	if mtbf {
		head += "\tEXPECTED OVERHEAD"
	}
	fmt.Fprintln(table, head)
	for _, s := range p.Strategies {
		fmt.Fprintf(table, "%d\t%d\t%s\t%s\t%s\t%s\t%s", s.SaveSteps, s.MidEpochSaves, policy.Span(s.OverheadSeconds),
			policy.Span(s.EpochMinutes*60), policy.Span(s.MaxLostMinutes*60), policy.Span(s.ExpectedLostMinutes*60), humanize.Bytes(uint64(s.DiskBytes)))
		if mtbf {
			fmt.Fprintf(table, "\t%s", policy.Span(*s.ExpectedOverheadSeconds))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	note := "SAVING, EPOCH: time per epoch. LOST: training that one crash undoes. DISK: with every checkpoint kept."
	if mtbf {
		note = "SAVING, EPOCH, EXPECTED OVERHEAD (saving, and what crashes undo): time per epoch.\nLOST: training that one crash undoes. DISK: with every checkpoint kept."
	}
	_, err := fmt.Fprintln(out, note)
	return err
}

func countBatches(n int64) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

// trimmed is a number of seconds as it was given.
func trimmed(seconds float64) string { return fmt.Sprintf("%.4g s", seconds) }
