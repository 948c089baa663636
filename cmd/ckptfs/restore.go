package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
)

type restoreOptions struct {
	config string
	force  bool
}

func newRestoreCommand() *cobra.Command {
	var opts restoreOptions
	cmd := &cobra.Command{
		Use:   "restore PATH NAME[@VERSION]",
		Short: "Take an earlier or deleted version of a checkpoint back",
		Long: `Take a version back from the history or from the trash: the newest of them, or the
one whose id begins with VERSION (see ckptfs history). Every byte of it is verified
first. It is committed like a save: what is live under the name becomes history,
in one step, and the name is never without a valid checkpoint.`,
		Example: `  ckptfs restore checkpoints/codebert last_checkpoint
  ckptfs restore checkpoints/codebert best_model@20261126T0405`,
		Args: operands(2, 2, "a PATH and the NAME of a checkpoint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRestore(cmd.OutOrStdout(), opts, args[0], args[1])
		},
	}
	addConfigFlag(cmd, &opts.config)
	cmd.Flags().BoolVar(&opts.force, "force", false, "restore it although it is damaged, or was no valid checkpoint")
	return cmd
}

func runRestore(out io.Writer, opts restoreOptions, dir, arg string) error {
	src, t, err := workAt(dir, opts.config)
	if err != nil {
		return err
	}
	err = restore(out, src, t, arg, opts.force)
	if closed := src.Close(); err == nil {
		err = closed
	}
	return err
}

func restore(out io.Writer, src source, t target, arg string, force bool) error {
	n, version, err := findVersioned(src, t, arg)
	if err != nil {
		return err
	}
	chosen, err := restorable(n, version, t)
	if err != nil {
		return err
	}
	if err := src.Restore(n.path(), chosen.Version, force); err != nil {
		return err
	}
	after, err := findNamed(src, t, n.given(t))
	if err != nil {
		return err
	}
	return tellRestored(out, t, n, after, chosen)
}

// findVersioned finds what NAME[@VERSION] means. A name may hold the sign itself.
func findVersioned(src source, t target, arg string) (n namedCheckpoint, version string, err error) {
	if n, err = findNamed(src, t, arg); err == nil {
		return n, "", nil
	}
	name, version := splitVersion(arg)
	if version == "" {
		return n, "", err
	}
	n, err = findNamed(src, t, name)
	return n, version, err
}

// restorable picks what is restored: by its id, or the newest version that was one.
func restorable(n namedCheckpoint, version string, t target) (*store.CheckpointRow, error) {
	rows := n.earlier()
	if version == "" {
		for i := range rows {
			if rows[i].CommittedAt != nil {
				return &rows[i], nil
			}
		}
		return nil, nothingError("%s has no earlier version, and none in the trash", n.name)
	}
	chosen, err := pick(rows, version)
	if err != nil {
		return nil, err
	}
	if live := n.live(); chosen == nil && live != nil && live.Version == version {
		return nil, nothingError("version %s is what %s holds", version, n.name)
	}
	if chosen == nil {
		return nil, nothingError("%s has no earlier version %s; see ckptfs history %s %s", n.name, version, t.given(), n.given(t))
	}
	return chosen, nil
}

// tellRestored says what has become of the name.
func tellRestored(out io.Writer, t target, before, after namedCheckpoint, chosen *store.CheckpointRow) error {
	was, is := before.live(), after.live()
	if was != nil && is != nil && was.Version == is.Version {
		_, err := fmt.Fprintf(out, "%s holds that already; nothing was changed.\n", before.name)
		return err
	}
	fmt.Fprintf(out, "%s is restored from version %s (%s).\n", before.name, chosen.Version, progress(chosen))
	if was != nil && was.Version != "" {
		for _, r := range after.earlier() {
			if r.Version == was.Version {
				fmt.Fprintf(out, "What it held is in the %s: ckptfs restore %s %s@%s takes it back.\n", r.State, t.given(), before.given(t), r.Version)
			}
		}
	}
	if is != nil && is.PinReason == store.RestoredPin {
		fmt.Fprintf(out, "The policy would delete it again, so it is pinned: ckptfs unpin %s %s lets it go.\n", t.given(), before.given(t))
	}
	return nil
}

// progress is how far training had come, in words.
func progress(c *store.CheckpointRow) string {
	switch {
	case c.Epoch == nil && c.GlobalStep == nil:
		return "progress unknown"
	case c.Epoch == nil:
		return fmt.Sprintf("step %d", *c.GlobalStep)
	case c.Step == nil || *c.Step == 0:
		return fmt.Sprintf("epoch %d", *c.Epoch)
	}
	return fmt.Sprintf("epoch %d, step %d", *c.Epoch, *c.Step)
}
