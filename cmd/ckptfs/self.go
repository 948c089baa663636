package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
)

// self is another command of this program, as a process.
func self(ctx context.Context, args ...string) *exec.Cmd {
	program, err := os.Executable()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = os.Args[0]
	if err != nil {
		cmd.Err = err
	}
	return cmd
}

// runSelf carries out another command of this program without a sound. Its error
// is what the command said, with its exit code.
func runSelf(ctx context.Context, args ...string) error {
	var said bytes.Buffer
	cmd := self(ctx, args...)
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && said.Len() > 0 {
		lines := strings.ReplaceAll("\n"+strings.TrimSpace(said.String()), "\nckptfs: ", "\n")
		return &coded{exit.ExitCode(), errors.New(strings.TrimSpace(lines))}
	}
	return err
}
