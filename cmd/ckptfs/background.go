package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// outcome is what the daemon tells the process that started it, once.
type outcome struct {
	Code  int    `json:"code"`
	Error string `json:"error,omitempty"`
}

// readyFD is the first descriptor after the standard ones.
const readyFD = 3

// startDaemon starts this command line again, as a process of its own session,
// and returns when its mount can be used, or with its error. The daemon keeps
// stderr until then, for what fusermount3 has to say; had it kept any stream for
// longer, who reads the output of this command would wait for the daemon's end.
func startDaemon(ctx context.Context) error {
	word, say, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	defer word.Close()
	args := slices.Concat([]string{fmt.Sprintf("--ready-fd=%d", readyFD)}, os.Args[1:])
	cmd := self(context.WithoutCancel(ctx), args...)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{say}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	say.Close()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	// Interrupted while it waits, the command takes its daemon with it.
	defer context.AfterFunc(ctx, func() { cmd.Process.Signal(unix.SIGTERM) })()
	said, err := io.ReadAll(word)
	if err != nil {
		return fmt.Errorf("wait for the daemon: %w", err)
	}
	var o outcome
	if len(said) == 0 || json.Unmarshal(said, &o) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("the daemon ended without a word (%v); to see why, add --foreground", cmd.Wait())
	}
	if o.Code != exitDone {
		return &coded{o.Code, errors.New(o.Error)}
	}
	return cmd.Process.Release()
}

// serveFor is the daemon: it serves the mount and tells the process that
// started it how that went.
func serveFor(opts mountOptions, args []string) error {
	unix.CloseOnExec(opts.ready) // fusermount3 must not keep the parent waiting
	parent := os.NewFile(uintptr(opts.ready), "ready")
	tell := func(err error) {
		o := outcome{Code: exitCode(err)}
		if err != nil {
			o.Error = err.Error()
		}
		if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
			unix.Dup3(int(null.Fd()), unix.Stderr, 0)
			null.Close()
		}
		json.NewEncoder(parent).Encode(o) // a parent that is gone needs no word
		parent.Close()
	}
	req, err := preflight(opts, args, io.Discard)
	if err == nil {
		err = serve(req, io.Discard, func() { tell(nil) })
	}
	if err != nil {
		tell(err) // to nobody, once it has been said that all is well
	}
	return err
}
