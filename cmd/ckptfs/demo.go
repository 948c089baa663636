package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ckptfs/testdata/runs"
)

func newDemoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Give a tour on a real run, with a save that is killed",
		Long: `Mount over a copy of a real run, kill a job in the middle of a save, save again,
prune, unmount. Every step shows the command for it and is checked; the tour fails
when one does not hold. It takes everything away again.`,
		Args: operands(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the directory, to look around in it")
	return cmd
}

// tour is one demonstration. Its commands run in dir, so that they read as a
// user would type them.
type tour struct {
	ctx context.Context
	out io.Writer
	dir string // holds the run and, beside it, what the job is going to save
}

// The names in the directory of a tour.
const (
	demoRun  = "codebert" // the run directory
	demoNext = "next"     // the state that the job has in memory
)

func runDemo(ctx context.Context, out io.Writer, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "ckptfs-demo-")
	if err != nil {
		return err
	}
	t := &tour{ctx, out, dir}
	defer func() { err = errors.Join(err, t.end(keep)) }()
	if err := t.prepare(); err != nil {
		return err
	}
	fmt.Fprintf(out, "$ cd %s\n", dir)
	for i, s := range steps {
		fmt.Fprintf(out, "\n%d. %s\n\n", i+1, s.title)
		if err := s.take(t); err != nil {
			return fmt.Errorf("demo: step %d (%s) does not hold: %w", i+1, s.title, err)
		}
	}
	fmt.Fprintln(out, "\nEverything held.")
	return nil
}

// prepare lays out the run as its trainer left it, with no ckptfs so far.
func (t *tour) prepare() error {
	run, err := fs.Sub(runs.FS, "enstack")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(t.dir, demoRun), run); err != nil {
		return err
	}
	next, err := fs.Sub(run, "checkpoint_epoch3_step4")
	if err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(t.dir, demoNext), next)
}

// end unmounts, if a failed step has left the mount, and removes the directory.
func (t *tour) end(keep bool) error {
	list, err := mounted()
	if err != nil {
		return err
	}
	run := filepath.Join(t.dir, demoRun)
	if real, err := filepath.EvalSymlinks(t.dir); err == nil {
		run = filepath.Join(real, demoRun)
	}
	if m, ok := mountAt(list, run); ok && m.ours() {
		if err := runSelf(context.WithoutCancel(t.ctx), "umount", "--force", run); err != nil {
			return err
		}
	}
	if keep {
		fmt.Fprintf(t.out, "Kept: %s\n", t.dir)
		return nil
	}
	return os.RemoveAll(t.dir)
}

// ckptfs shows a command line and carries it out.
func (t *tour) ckptfs(args ...string) error {
	t.types("ckptfs " + strings.Join(args, " "))
	cmd := self(t.ctx, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, t.out, t.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ckptfs %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// types shows what a user would type.
func (t *tour) types(line string) { fmt.Fprintln(t.out, "$", line) }

// content is every file of a directory, by path.
func (t *tour) content(name string) (map[string]string, error) {
	files := map[string]string{}
	root := os.DirFS(filepath.Join(t.dir, name))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, path)
		files[path] = string(b)
		return err
	})
	return files, err
}
