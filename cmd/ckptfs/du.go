package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
)

func newDuCommand() *cobra.Command {
	var opts askOptions
	cmd := &cobra.Command{
		Use:   "du [PATH]",
		Short: "Say what checkpoints take of the disk, by run and kind",
		Long: `Say what checkpoints take of the disk, by run and kind: what is committed, earlier
versions, the trash, unfinished saves, what was held back. What has several names
(hard links), and what files share by reflink, is counted once, and under SHARED
where it is met again. FREEABLE is what the policy would delete now.`,
		Example: `  ckptfs du checkpoints/codebert
  ckptfs du --json checkpoints | jq '.runs[] | {path, committed}'`,
		Args: operands(0, 1, "at most one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDu(cmd.OutOrStdout(), opts, operand(args))
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func runDu(out io.Writer, opts askOptions, path string) error {
	src, t, err := lookAt(path, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	all, err := src.Usage()
	if err != nil {
		return err
	}
	rep := store.UsageReport{Runs: []store.RunUsage{}, Free: all.Free, Total: all.Total}
	for _, r := range all.Runs {
		if t.holds(r.Path) {
			rep.Runs = append(rep.Runs, r)
		}
	}
	if opts.json {
		return writeJSON(out, rep)
	}
	if len(rep.Runs) == 0 {
		fmt.Fprintln(out, "No checkpoints.")
	}
	if err := printUsage(out, rep); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s free of %s.\n", size(rep.Free), size(rep.Total))
	return err
}

// part is one column of the table, and one piece of the bars.
type part struct {
	head string
	mark string // of the bar; "" for what takes nothing of its own
	of   func(store.Usage) int64
}

var parts = []part{
	{"COMMITTED", "#", func(u store.Usage) int64 { return u.Committed }},
	{"INVALID", "!", func(u store.Usage) int64 { return u.Invalid }},
	{"HISTORY", "h", func(u store.Usage) int64 { return u.History }},
	{"TRASH", "t", func(u store.Usage) int64 { return u.Trash }},
	{"STAGING", "s", func(u store.Usage) int64 { return u.Staging }},
	{"QUARANTINE", "q", func(u store.Usage) int64 { return u.Quarantine }},
	{"SHARED", "", func(u store.Usage) int64 { return u.Shared }},
	{"FREEABLE", "", func(u store.Usage) int64 { return u.Freeable }},
}

// printUsage writes a table with the columns in which there is something, and
// under it a bar for each kind.
func printUsage(out io.Writer, rep store.UsageReport) error {
	var sum store.Usage
	for _, r := range rep.Runs {
		sum.Add(r.Usage)
	}
	var shown []part
	for _, p := range parts {
		if p.head == "COMMITTED" || p.of(sum) > 0 {
			shown = append(shown, p)
		}
	}
	table := newTable(out)
	row := func(run, kind string, u store.Usage) {
		fmt.Fprintf(table, "%s\t%s\t%s", run, kind, size(u.Sum()))
		for _, p := range shown {
			cell := "-"
			if n := p.of(u); n > 0 {
				cell = size(n)
			}
			fmt.Fprintf(table, "\t%s", cell)
		}
		fmt.Fprintln(table)
	}
	fmt.Fprint(table, "RUN\tKIND\tSIZE")
	for _, p := range shown {
		fmt.Fprintf(table, "\t%s", p.head)
	}
	fmt.Fprintln(table)
	for _, r := range rep.Runs {
		for _, k := range r.Kinds {
			row(r.Path, kindName(k), k.Usage)
		}
		row(r.Path, "all", r.Usage)
	}
	if len(rep.Runs) > 1 {
		row("all", "all", sum)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, usageChart(rep, shown, width(out), isTerminal(out)))
	return err
}

func kindName(k store.KindUsage) string {
	if k.Kind == "" {
		return "unknown"
	}
	return string(k.Kind)
}

// colours of the pieces of a bar, on a terminal.
var colours = map[string]string{"#": "32", "!": "31", "h": "36", "t": "33", "s": "35", "q": "31"}

// usageChart draws what each kind takes, the largest over the whole width.
func usageChart(rep store.UsageReport, shown []part, width int, terminal bool) string {
	most, label := int64(0), 0
	name := func(r store.RunUsage, k store.KindUsage) string {
		if len(rep.Runs) == 1 {
			return kindName(k)
		}
		return r.Path + " " + kindName(k)
	}
	for _, r := range rep.Runs {
		for _, k := range r.Kinds {
			most, label = max(most, k.Sum()), max(label, len(name(r, k)))
		}
	}
	if most == 0 {
		return ""
	}
	const marks = len("  1023.9 MiB")
	room := max(10, width-label-marks-2)
	var b strings.Builder
	var legend []string
	for _, p := range shown {
		if p.mark != "" {
			legend = append(legend, paint(p.mark, p.mark, terminal)+" "+strings.ToLower(p.head))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(legend, ", "))
	for _, r := range rep.Runs {
		for _, k := range r.Kinds {
			fmt.Fprintf(&b, "%-*s  ", label, name(r, k))
			drawn, sum := 0, int64(0)
			for _, p := range shown {
				if p.mark == "" {
					continue
				}
				sum += p.of(k.Usage)
				n := max(0, bar(float64(sum), float64(most), room)-drawn)
				drawn += n
				b.WriteString(paint(strings.Repeat(p.mark, n), p.mark, terminal))
			}
			fmt.Fprintf(&b, "  %s\n", size(k.Sum()))
		}
	}
	return b.String()
}

// paint colours a piece on a terminal: there it is a block, in a log a letter.
func paint(piece, mark string, terminal bool) string {
	if !terminal || piece == "" {
		return piece
	}
	return "\x1b[" + colours[mark] + "m" + strings.ReplaceAll(piece, mark, "█") + "\x1b[0m"
}
