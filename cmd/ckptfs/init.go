package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
	"ckptfs/policy"
)

type initOptions struct {
	preset   string
	toStdout bool
}

func newInitCommand() *cobra.Command {
	var opts initOptions
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a configuration that says why",
		Long: `Write DIR/.ckptfs.yaml. Where DIR holds checkpoints it is a proposal for these, else it
has every key, explained. With --preset it is a ready-made one: colab for a notebook
that may disconnect, local for a machine that stays up, long for training of weeks.`,
		Example: `  ckptfs init checkpoints/codebert
  ckptfs init --preset colab checkpoints/codebert
  ckptfs init --print`,
		Args: operands(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInit(cmd.OutOrStdout(), opts, args)
		},
	}
	cmd.Flags().StringVar(&opts.preset, "preset", "", "write this `PRESET`: "+strings.Join(policy.Presets(), ", "))
	cmd.Flags().BoolVar(&opts.toStdout, "print", false, "print it instead; without DIR and --preset, every key")
	return cmd
}

// text is the configuration for a directory, and what it goes by, in words.
func (o initOptions) text(args []string) (text []byte, by string, err error) {
	switch {
	case o.preset != "":
		text, err = policy.Preset(o.preset)
		if err != nil {
			err = usageError("init: --preset: %w", err)
		}
		return text, "the preset " + o.preset, err
	case o.toStdout && len(args) == 0:
		return policy.Default().YAML(), "", nil
	}
	found, err := find(operand(args))
	if err != nil {
		return nil, "", err
	}
	if text := policy.Propose(found); text != nil {
		return text, "for the checkpoints that lie there", nil
	}
	return policy.Default().YAML(), "every key, explained", nil
}

// find looks at what a proposal has to go by. What the configuration says that is
// there already does not count: it is about to be replaced, or refused.
func find(path string) (f policy.Found, err error) {
	t, err := findTarget(path)
	if err != nil {
		return f, err
	}
	src, err := look(t, "")
	if err != nil {
		return f, err
	}
	defer src.Close() // it was only read
	rep, err := src.List()
	if err != nil {
		return f, err
	}
	sp, err := spaceOf(t.root)
	if err != nil {
		return f, err
	}
	f.Free = sp.Free
	for _, r := range rep.Runs {
		if !t.holds(r.Path) || len(r.Checkpoints) == 0 {
			continue
		}
		if !slices.Contains(f.Layouts, r.Layout) {
			f.Layouts = append(f.Layouts, r.Layout)
		}
		l, _ := layout.ByName(layout.With(nil), r.Layout) // nil where there is none
		cs := candidates(r.Checkpoints)
		f.Runs = append(f.Runs, policy.FoundRun{Checkpoints: cs, Views: policy.Resolve(cs, policy.Default().For(r.Path, l))})
	}
	return f, nil
}

func runInit(out io.Writer, opts initOptions, args []string) error {
	if opts.toStdout {
		text, _, err := opts.text(args)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	dir, err := directory(operand(args))
	if err != nil {
		return err
	}
	there := refusedError("%s is there already; edit it, or remove it first", filepath.Join(dir, configName))
	if _, err := os.Lstat(filepath.Join(dir, configName)); err == nil { // before anything goes by it
		return there
	}
	text, by, err := opts.text(args)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, configName)
	root, err := disk.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Open("init", configName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return there
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = f.Write(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = fmt.Fprintf(out, "Wrote %s (%s); what it says holds from the next mount on.\n", file, by)
	return err
}
