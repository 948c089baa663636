package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
)

func newExplainCommand() *cobra.Command {
	var opts askOptions
	cmd := &cobra.Command{
		Use:   "explain PATH [VIEW or NAME]",
		Short: "Say why a view shows what it shows, and why a checkpoint is kept",
		Example: `  ckptfs explain checkpoints/codebert resume
  ckptfs explain checkpoints/codebert checkpoint_epoch2_step500`,
		Args: operands(1, 2, "a PATH and at most one view or checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 2 {
				name = strings.TrimSuffix(strings.TrimPrefix(args[1], "@"), "/")
			}
			return runExplain(cmd.OutOrStdout(), opts, args[0], name)
		},
	}
	opts.addFlags(cmd)
	return cmd
}

// explanation is `explain --json`: the run at PATH, and those below it.
type explanation struct {
	store.ExplainReport
	Runs []store.ExplainReport `json:"runs,omitempty"`
}

func runExplain(out io.Writer, opts askOptions, path, name string) error {
	src, t, err := lookAt(path, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	all, err := src.Explain()
	if err != nil {
		return err
	}
	reports := selectExplained(all, t, name)
	if len(reports) == 0 {
		return nothingError("%s holds no checkpoints", path)
	}
	if opts.json {
		doc := explanation{ExplainReport: reports[0]}
		if len(reports) > 1 {
			doc.Runs = reports[1:]
		}
		if err := writeJSON(out, doc); err != nil {
			return err
		}
	} else {
		printExplained(out, reports)
	}
	return resolved(reports, path, name)
}

// selectExplained keeps the runs at and below PATH and, where a name is given,
// what there is to say about it. The run at PATH comes first.
func selectExplained(all []store.ExplainReport, t target, name string) []store.ExplainReport {
	var kept []store.ExplainReport
	for _, r := range all {
		if !t.holds(r.Path) {
			continue
		}
		if name != "" {
			r.Views = maps.Clone(r.Views)
			maps.DeleteFunc(r.Views, func(view string, _ store.ExplainView) bool { return view != name })
			others := func(c store.ExplainCheckpoint) bool { return c.Name != name }
			r.Checkpoints = slices.DeleteFunc(slices.Clone(r.Checkpoints), others)
		}
		kept = append(kept, r)
	}
	return kept
}

// resolved is the error for an answer that leads to no checkpoint.
func resolved(reports []store.ExplainReport, path, name string) error {
	var views int
	for _, r := range reports {
		if name != "" && len(r.Checkpoints) > 0 {
			return nil
		}
		for _, v := range r.Views {
			views++
			if v.Target != nil {
				return nil
			}
		}
	}
	switch {
	case name == "":
		return nothingError("no view of %s resolves to a checkpoint", path)
	case views > 0:
		return nothingError("%s/ of %s resolves to nothing", name, path)
	}
	return nothingError("%s has no view and no checkpoint called %q; see ckptfs ls --all %s", path, name, path)
}

func printExplained(out io.Writer, reports []store.ExplainReport) {
	for _, r := range reports {
		if len(r.Checkpoints) == 0 && (r.Path == "." && len(reports) > 1 || len(r.Views) == 0) {
			continue
		}
		if len(reports) > 1 {
			fmt.Fprintf(out, "%s\n", r.Path)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Views)) {
			printView(out, name, r.Views[name])
		}
		for _, c := range r.Checkpoints {
			fmt.Fprintf(out, "%-6s %s: %s\n", c.Action, c.Name, strings.Join(c.Reasons, "; "))
		}
	}
}

func printView(out io.Writer, name string, v store.ExplainView) {
	target := "nothing"
	if v.Target != nil {
		target = *v.Target
	}
	fmt.Fprintf(out, "%s/ shows %s: %s\n", name, target, v.Reason)
	for _, s := range v.Skipped {
		fmt.Fprintf(out, "  not %s: %s\n", s.Name, s.Reason)
	}
}
