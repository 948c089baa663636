package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

type pinOptions struct {
	config string
	reason string
}

func newPinCommand() *cobra.Command {
	var opts pinOptions
	cmd := &cobra.Command{
		Use:   "pin PATH NAME",
		Short: "Never prune a checkpoint",
		Long: `Never prune a checkpoint until it is unpinned. A pin stays with the name, also when
that is renamed or overwritten. NAME may be a view: what it resolves to now is
pinned.`,
		Example: `  ckptfs pin --reason "submitted" checkpoints/codebert best`,
		Args:    operands(2, 2, "a PATH and the NAME of a checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.ContainsFunc(opts.reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
				return usageError("--reason: one line of printable text")
			}
			return changePin(cmd.OutOrStdout(), opts.config, args[0], args[1], func(src source, t target, n namedCheckpoint) (string, error) {
				err := src.Pin(n.path(), opts.reason)
				return fmt.Sprintf("%s is pinned; ckptfs unpin %s %s lets the policy decide again.\n", n.name, t.given(), n.given(t)), err
			})
		},
	}
	addConfigFlag(cmd, &opts.config)
	cmd.Flags().StringVar(&opts.reason, "reason", "", "why, for those who find it: `TEXT`")
	return cmd
}

func newUnpinCommand() *cobra.Command {
	var opts pinOptions
	cmd := &cobra.Command{
		Use:     "unpin PATH NAME",
		Short:   "Let the policy decide about a checkpoint again",
		Example: `  ckptfs unpin checkpoints/codebert best_model`,
		Args:    operands(2, 2, "a PATH and the NAME of a checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changePin(cmd.OutOrStdout(), opts.config, args[0], args[1], func(src source, _ target, n namedCheckpoint) (string, error) {
				return n.name + " is not pinned any more.\n", src.Unpin(n.path())
			})
		},
	}
	addConfigFlag(cmd, &opts.config)
	return cmd
}

// changePin pins or unpins what NAME means, and says what was done.
func changePin(out io.Writer, config, dir, name string, change func(source, target, namedCheckpoint) (said string, err error)) error {
	src, t, err := workAt(dir, config)
	if err != nil {
		return err
	}
	n, err := findNamed(src, t, name)
	said := ""
	if err == nil {
		said, err = change(src, t, n)
	}
	if closed := src.Close(); err == nil {
		err = closed
	}
	if err == nil {
		_, err = io.WriteString(out, said)
	}
	return err
}
