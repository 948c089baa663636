package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"ckptfs/fs/store"
)

type quarantineOptions struct {
	askOptions
	force bool
	as    string
	all   bool
}

func newQuarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List what was held back, put it back, or drop it",
		Long: `A file is held back when its writer died, or could not prove it whole; it lies in
quarantine, with the reason, for save.incomplete_ttl.`,
		Args: func(cmd *cobra.Command, args []string) error {
			return usageError("quarantine takes list, restore or drop; see %s --help", cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQuarantineListCommand(), newQuarantineRestoreCommand(), newQuarantineDropCommand())
	return cmd
}

func newQuarantineListCommand() *cobra.Command {
	var opts quarantineOptions
	cmd := &cobra.Command{
		Use:     "list PATH",
		Short:   "List the files that were held back, and why",
		Example: `  ckptfs quarantine list checkpoints/codebert`,
		Args:    operands(1, 1, "one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runQuarantineList(cmd.OutOrStdout(), opts, args[0])
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func newQuarantineRestoreCommand() *cobra.Command {
	var opts quarantineOptions
	cmd := &cobra.Command{
		Use:   "restore PATH ID",
		Short: "Put a file back into the save that it belongs to",
		Long: `Put a file that was held back into the save that it belongs to, under its name, as
if its writer had closed it. It is refused when the file is damaged. The save
commits when it is complete; where it holds a part of a checkpoint only, ckptfs
commit says that this is all.`,
		Example: `  ckptfs quarantine restore checkpoints/codebert 20261126T040506.789-001abcd`,
		Args:    operands(2, 2, "a PATH and the ID of a file, from ckptfs quarantine list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runQuarantineRestore(cmd.OutOrStdout(), opts, args[0], args[1])
		},
	}
	addConfigFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.force, "force", false, "put it back although it is damaged")
	cmd.Flags().StringVar(&opts.as, "as", "", "under another name, below PATH: `CHECKPOINT/FILE`")
	return cmd
}

func newQuarantineDropCommand() *cobra.Command {
	var opts quarantineOptions
	cmd := &cobra.Command{
		Use:     "drop PATH [ID...]",
		Short:   "Remove for good what was held back",
		Example: `  ckptfs quarantine drop --all checkpoints/codebert`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || (len(args) == 1) != opts.all {
				return usageError("drop takes a PATH and the ID of each file, or a PATH with --all; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runQuarantineDrop(cmd.OutOrStdout(), opts, args[0], args[1:])
		},
	}
	addConfigFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.all, "all", false, "everything that was held back at and below PATH")
	return cmd
}

// heldAt lists what was held back in the runs at and below PATH.
func heldAt(src source, t target) (store.QuarantineReport, error) {
	rep, err := src.HeldBack()
	kept := store.QuarantineReport{Quarantine: []store.QuarantineRow{}}
	for _, row := range rep.Quarantine {
		if t.holds(row.Run) {
			kept.Quarantine = append(kept.Quarantine, row)
		}
	}
	return kept, err
}

func runQuarantineList(out io.Writer, opts quarantineOptions, dir string) error {
	src, t, err := lookAt(dir, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	rep, err := heldAt(src, t)
	switch {
	case err != nil:
		return err
	case opts.json:
		return writeJSON(out, rep)
	case len(rep.Quarantine) == 0:
		_, err := fmt.Fprintln(out, "Nothing is held back.")
		return err
	}
	now := time.Now()
	table := newTable(out)
	fmt.Fprintln(table, "FILE\tID\tSIZE\tHELD BACK\tKEPT\tREASON")
	for _, r := range rep.Quarantine {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\tfor %s\t%s\n", r.Path, r.ID, size(r.Size), humanize.RelTime(r.Since, now, "ago", ""),
			strings.TrimSpace(humanize.RelTime(r.ExpiresAt, now, "", "")), r.Reason)
	}
	return table.Flush()
}

func runQuarantineRestore(out io.Writer, opts quarantineOptions, dir, id string) error {
	return changeQuarantine(opts.config, dir, func(src source, t target, held []store.QuarantineRow) error {
		i := slices.IndexFunc(held, func(r store.QuarantineRow) bool { return r.ID == id })
		if i < 0 {
			return nothingError("nothing with the id %s is held back in %s; see ckptfs quarantine list %s", id, t.given(), t.given())
		}
		to := held[i].Path
		if opts.as != "" {
			to = path.Join(t.sub, opts.as)
		}
		if err := src.PutBack(id, to, opts.force); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "%s is back. What commits it, if nothing else does: ckptfs commit %s %s\n", to, t.given(), path.Dir(to))
		return err
	})
}

func runQuarantineDrop(out io.Writer, opts quarantineOptions, dir string, ids []string) error {
	return changeQuarantine(opts.config, dir, func(src source, t target, held []store.QuarantineRow) error {
		dropped, bytes := 0, int64(0)
		for _, r := range held {
			if !opts.all && !slices.Contains(ids, r.ID) {
				continue
			}
			if err := src.DropHeld(r.ID); err != nil {
				return err
			}
			dropped, bytes = dropped+1, bytes+r.Size
		}
		if dropped < len(ids) {
			return nothingError("%d of these ids were not held back in %s; see ckptfs quarantine list %s", len(ids)-dropped, t.given(), t.given())
		}
		_, err := fmt.Fprintf(out, "Dropped %s, %s.\n", count(dropped, "file"), size(bytes))
		return err
	})
}

// changeQuarantine opens PATH to change what is held back there.
func changeQuarantine(config, dir string, change func(src source, t target, held []store.QuarantineRow) error) error {
	src, t, err := workAt(dir, config)
	if err != nil {
		return err
	}
	rep, err := heldAt(src, t)
	if err == nil {
		err = change(src, t, rep.Quarantine)
	}
	if closed := src.Close(); err == nil {
		err = closed
	}
	return err
}
