package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newUmountCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "umount MOUNTPOINT",
		Short: "Commit what is complete, and unmount",
		Long: `Commit the open saves that are complete and unmount. What is not complete stays
staged for the next mount. A mount that is in use stays; the processes that use it
are listed. With --force it is taken away all the same: nothing is waited for, and
what a process still writes is parked.`,
		Aliases: []string{"unmount"},
		Example: `  ckptfs umount checkpoints/codebert`,
		Args:    operands(1, 1, "one MOUNTPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUmount(cmd.Context(), cmd.ErrOrStderr(), args[0], force)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not wait for saves, and detach a mount that is in use")
	return cmd
}

func runUmount(ctx context.Context, notes io.Writer, arg string, force bool) error {
	m, err := ownMount(arg)
	if err != nil {
		return err
	}
	switch state := m.health(); {
	case state == dead:
		fmt.Fprintf(notes, "ckptfs: note: the ckptfs of %s was killed; what was not committed is judged at the next mount\n", m.point)
		return detach(m.point)
	case state == silent && !force:
		return m.healthy()
	case force:
		end := expectEnd(m.source, 0)
		if err := detach(m.point); err != nil {
			return err
		}
		return end.await(ctx, patience, notes)
	}
	rep, err := daemon(m.point).Status()
	if err != nil {
		rep.Backing = m.source // the daemon of another user: it settles when it is unmounted
	}
	end := expectEnd(rep.Backing, rep.PID)
	if err := settle(ctx, m, notes); err != nil {
		return err
	}
	if err := release(ctx, m); err != nil {
		return err
	}
	return end.await(ctx, lastCommits, notes)
}

// ownMount finds the mount of ckptfs at a mountpoint.
func ownMount(arg string) (mountEntry, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return mountEntry{}, fmt.Errorf("%s: %w", arg, err)
	}
	list, err := mounted()
	if err != nil {
		return mountEntry{}, err
	}
	m := covering(list, abs)
	if !m.ours() {
		if real, err := directory(abs); err != nil {
			return mountEntry{}, err
		} else if real != abs {
			abs, m = real, covering(list, real)
		}
	}
	switch {
	case m.ours() && m.point == abs:
		return m, nil
	case m.ours():
		return mountEntry{}, fmt.Errorf("%s lies in a mount; give its mountpoint: ckptfs umount %s", abs, m.point)
	}
	for _, other := range list {
		if other.shows(abs) {
			return mountEntry{}, fmt.Errorf("%s is mounted elsewhere; give its mountpoint: ckptfs umount %s", abs, other.point)
		}
	}
	return mountEntry{}, fmt.Errorf("%s is not mounted by ckptfs; ckptfs status lists the mounts", abs)
}

const (
	// patience is how long a mount that nobody seems to use may be busy: closing
	// a file is answered before its last trace is gone.
	patience = 2 * time.Second
	// lastCommits is how long a daemon may take to commit what is left.
	lastCommits = 5 * time.Minute
)

// release unmounts; the error for a mount in use lists who uses it.
func release(ctx context.Context, m mountEntry) error {
	deadline := time.Now().Add(patience)
	for {
		err := unmount(m.point)
		if !errors.Is(err, errBusy) {
			return err
		}
		if users := usersOf(m.point); len(users) > 0 {
			return busyError(m, users)
		}
		if time.Now().After(deadline) {
			return busyError(m, nil)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func busyError(m mountEntry, users []holder) error {
	lines := []string{fmt.Sprintf("%s is in use; end these processes, or take it away all the same: ckptfs umount --force %s", m.point, m.point)}
	for _, u := range users {
		lines = append(lines, "  "+u.String())
	}
	if len(users) == 0 {
		lines = append(lines, "  by a process that cannot be seen from here: of another user, or in another container")
	}
	return errors.New(strings.Join(lines, "\n"))
}

// usersOf are the processes that use a mount, not those beneath it.
func usersOf(point string) []holder {
	list, err := mounted()
	if err != nil {
		return nil
	}
	if m, ok := mountAt(list, point); ok {
		return holders(point, m.id)
	}
	return nil
}
