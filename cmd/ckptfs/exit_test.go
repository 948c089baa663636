package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestExitCode(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("boom"), 1},
		{usageError("what?"), 2},
		{nothingError("nothing resolves"), 3},
		{&coded{exitDamage, errors.New("torn")}, 4},
		{refusedError("no"), 5},
		{context.Canceled, 130},
		{fmt.Errorf("wait: %w", context.Canceled), 130},
		{fmt.Errorf("prune: %w", refusedError("open")), 5},
		{errors.Join(refusedError("open"), context.Canceled), 130},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestRunPrintsOneLineForEachError(t *testing.T) {
	var stderr strings.Builder
	if code := run(t.Context(), []string{"ls", "--no-such-flag"}, &stderr); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	if got, want := stderr.String(), "ckptfs: ls: unknown flag: --no-such-flag; see ckptfs ls --help\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

// TestCommandsExplainThemselves holds every command to an example and to help.
func TestCommandsExplainThemselves(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		if cmd.Hidden {
			continue
		}
		if cmd.Short == "" {
			t.Errorf("%s says nothing about itself", cmd.Name())
		}
		if cmd.Example == "" && strings.Contains(cmd.Use, " ") {
			t.Errorf("%s takes arguments and shows no example", cmd.Name())
		}
	}
}
