package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

func newHistoryCommand() *cobra.Command {
	var opts askOptions
	cmd := &cobra.Command{
		Use:   "history PATH NAME",
		Short: "List the versions of a checkpoint: what is live, earlier and deleted ones",
		Long: `List the versions of a checkpoint: what lies under the name, the earlier ones that
retention.history.keep_last keeps, and what is in the trash. ckptfs restore takes
one back.`,
		Example: `  ckptfs history checkpoints/codebert last_checkpoint`,
		Args:    operands(2, 2, "a PATH and the NAME of a checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHistory(cmd.OutOrStdout(), opts, args[0], args[1])
		},
	}
	opts.addFlags(cmd)
	return cmd
}

// versions is `history --json`.
type versions struct {
	Run      string                `json:"run"`
	Name     string                `json:"name"`
	Versions []store.CheckpointRow `json:"versions"`
}

func runHistory(out io.Writer, opts askOptions, path, name string) error {
	src, t, err := lookAt(path, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	n, err := findNamed(src, t, name)
	if err != nil {
		return err
	}
	rows := n.earlier()
	if live := n.live(); live != nil {
		rows = append([]store.CheckpointRow{*live}, rows...)
	}
	if opts.json {
		return writeJSON(out, versions{n.run, n.name, rows})
	}
	return printVersions(out, rows, time.Now())
}

func printVersions(out io.Writer, rows []store.CheckpointRow, now time.Time) error {
	table := newTable(out)
	fmt.Fprintln(table, "VERSION\tEPOCH\tSTEP\tSIZE\tAGE\tSTATE\tVIEWS")
	for _, c := range rows {
		views, state := "-", string(c.State)
		if len(c.Views) > 0 {
			views = strings.Join(c.Views, " ")
		}
		if c.State == policy.Trash || c.Damaged {
			state += " (" + c.Reason + ")"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(c.Version, "-"), number(c.Epoch), number(cmp.Or(c.Step, c.GlobalStep)),
			size(c.Size), age(c.CommittedAt, now), state, views)
	}
	return table.Flush()
}
