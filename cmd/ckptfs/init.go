package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

func newInitCommand() *cobra.Command {
	var toStdout bool
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a configuration with every key explained",
		Example: `  ckptfs init checkpoints/codebert
  ckptfs init --print`,
		Args: operands(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if toStdout {
				_, err := cmd.OutOrStdout().Write(policy.Default().YAML())
				return err
			}
			return runInit(cmd.OutOrStdout(), operand(args))
		},
	}
	cmd.Flags().BoolVar(&toStdout, "print", false, "print it instead")
	return cmd
}

func runInit(out io.Writer, arg string) error {
	dir, err := directory(arg)
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
		return refusedError("%s is there already; edit it, or remove it first", file)
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = f.Write(policy.Default().YAML())
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = fmt.Fprintf(out, "Wrote %s; what it says holds from the next mount on.\n", file)
	return err
}
