package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"ckptfs/fs/store"
)

// settle has the daemon commit what is complete, and says what is not.
func settle(ctx context.Context, m mountEntry, notes io.Writer) error {
	d := daemon(m.point)
	done := make(chan error, 1)
	go func() { done <- d.control("settle") }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for line := ""; ; {
		select {
		case err := <-done:
			if line != "" {
				fmt.Fprint(notes, "\r\x1b[K")
			}
			if err != nil {
				fmt.Fprintf(notes, "ckptfs: note: %v; the daemon commits what is complete once it is unmounted\n", err)
				return nil
			}
			return d.tellStaged(notes)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if !isTerminal(notes) {
				continue
			}
			rep, err := d.Status()
			if err != nil {
				continue // the daemon is busy; settle has the say
			}
			saves, bytes := 0, int64(0)
			for _, r := range rep.Runs {
				for _, s := range r.Saves {
					saves, bytes = saves+1, bytes+s.Bytes
				}
			}
			line = fmt.Sprintf("committing: %s, %s", count(saves, "open save"), size(bytes))
			fmt.Fprint(notes, "\r\x1b[K", line)
		}
	}
}

// tellStaged says which saves are not complete.
func (d daemon) tellStaged(notes io.Writer) error {
	rep, err := d.Status()
	if err != nil {
		return err
	}
	for _, r := range rep.Runs {
		for _, s := range r.Saves {
			lacks := store.Words(s.Missing)
			if lacks == "" {
				lacks = "it is still being judged"
			}
			fmt.Fprintf(notes, "ckptfs: note: %s stays staged: %s\n", filepath.Join(r.Path, s.Name), lacks)
		}
	}
	return nil
}
