package main

import (
	"fmt"
	"io"
	"path"

	"github.com/spf13/cobra"
)

type commitOptions struct {
	config string
	force  bool
}

func newCommitCommand() *cobra.Command {
	var opts commitOptions
	cmd := &cobra.Command{
		Use:   "commit PATH NAME",
		Short: "Commit a save now: it is complete",
		Long: `Say that the open save of a checkpoint is complete, and commit it now. It is
refused, with what is missing, when the save lacks something that its layout
requires or when a file of it is damaged or still open.`,
		Example: `  ckptfs commit checkpoints/codebert last_checkpoint`,
		Args:    operands(2, 2, "a PATH and the NAME of a checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCommit(cmd.OutOrStdout(), opts, args[0], args[1])
		},
	}
	addConfigFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.force, "force", false, "commit what is there, complete or not")
	return cmd
}

func runCommit(out io.Writer, opts commitOptions, dir, name string) error {
	src, t, err := workAt(dir, opts.config)
	if err != nil {
		return err
	}
	p := path.Join(t.sub, name)
	if n, err := findNamed(src, t, name); err == nil { // else the store says what it misses
		p, name = n.path(), n.name
	}
	err = src.Commit(p, opts.force)
	if closed := src.Close(); err == nil {
		err = closed
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "%s is committed.\n", name)
	}
	return err
}
