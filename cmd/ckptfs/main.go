// Command ckptfs makes every save of a training job atomic: it mounts a file
// system over the directory that the checkpoints are written to.
//
// Each subcommand is one file: its options, their flags, and a run function
// that takes everything by parameter. What a command is given as PATH is worked
// out in target.go, and asked through the answers of source.go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run carries out one command line and returns its exit code. What went wrong
// is written to stderr, one line each.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(stderr, "ckptfs:", strings.TrimRight(line, "\n"))
		}
	}
	return exitCode(err)
}

const rootHelp = `ckptfs mounts a file system over the directory that a training job saves its
checkpoints to. No save is ever seen half: latest/, resume/ and best/ show whole
checkpoints, and a job that dies in the middle of a save leaves the previous
one intact.

Exit status: 0 done, 1 failed, 2 usage, 3 nothing resolves, 4 damage found,
5 refused by a safety rule, 130 interrupted.`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ckptfs",
		Short: "Atomic checkpoints for training jobs",
		Long:  rootHelp,
		Example: `  ckptfs mount checkpoints/codebert
  python train.py --output_dir checkpoints/codebert --resume checkpoints/codebert/resume
  ckptfs umount checkpoints/codebert`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%s: %w; see %s --help", cmd.Name(), err, cmd.CommandPath())
	})
	root.AddCommand(
		newMountCommand(),
		newUmountCommand(),
		newStatusCommand(),
		newLsCommand(),
		newExplainCommand(),
		newVerifyCommand(),
		newInspectCommand(),
		newLayoutsCommand(),
		newPruneCommand(),
		newPlanCommand(),
		newCommitCommand(),
		newHistoryCommand(),
		newRestoreCommand(),
		newTrashCommand(),
		newQuarantineCommand(),
		newDuCommand(),
		newBackupCommand(),
		newExportManifestCommand(),
		newPinCommand(),
		newUnpinCommand(),
		newInitCommand(),
		newDoctorCommand(),
		newBenchCommand(),
		newDemoCommand(),
		newDemoSaveCommand(),
		newVersionCommand(),
	)
	return root
}

// knownCommand refuses what is no command. Without it cobra would, with an
// error that cannot be told from a failure.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError("no command is called %q; did you mean %s?", args[0], near[0])
	}
	return usageError("no command is called %q; see ckptfs --help", args[0])
}

// operands checks how many there are; what names them in the error.
func operands(low, high int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return usageError("%s takes %s, not %q; see %s --help", cmd.Name(), what, args, cmd.CommandPath())
		}
		return nil
	}
}
