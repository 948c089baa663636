package main

import (
	"context"
	"errors"
	"fmt"
)

// The exit codes of every command. Scripts rely on them: add, never change.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2   // the command line makes no sense
	exitNothing     = 3   // no checkpoint is there to answer with
	exitDamage      = 4   // a checkpoint is damaged
	exitRefused     = 5   // a safety rule forbids it
	exitInterrupted = 130 // by SIGINT or SIGTERM
)

// coded is an error with an exit code of its own; any other error is exitFailed.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}

func nothingError(format string, args ...any) error {
	return &coded{exitNothing, fmt.Errorf(format, args...)}
}

func damageError(format string, args ...any) error {
	return &coded{exitDamage, fmt.Errorf(format, args...)}
}

func refusedError(format string, args ...any) error {
	return &coded{exitRefused, fmt.Errorf(format, args...)}
}

func interruptedError(format string, args ...any) error {
	return &coded{exitInterrupted, fmt.Errorf(format, args...)}
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var c *coded
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &c):
		return c.code
	}
	return exitFailed
}
