package main

import (
	"context"
	"os"
	"os/exec"
)

// self is this very program as a new process, also after the file that it was
// started from has been replaced or deleted.
func self(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	return cmd
}
