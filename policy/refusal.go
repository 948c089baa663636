package policy

import (
	"errors"
	"fmt"
)

// ErrWouldEmpty is the reason for refusing decisions that leave a run without
// a checkpoint to resume from.
var ErrWouldEmpty = errors.New("no committed checkpoint would be left")

// Refusal returns an error that wraps ErrWouldEmpty when carrying out the
// decisions would delete every committed checkpoint. Retain never decides so;
// this guards the caller that filters or edits the decisions.
func Refusal(ds []Decision) error {
	deleted, kept := 0, 0
	for _, d := range ds {
		switch {
		case d.State == History: // an earlier version is no checkpoint of its own
		case d.Action == ActionDelete:
			deleted++
		case d.Action == ActionKeep:
			kept++
		}
	}
	if deleted > 0 && kept == 0 {
		return fmt.Errorf("refusing to delete %s: %w; pin one, or loosen the retention rules",
			plural(int64(deleted), "checkpoint"), ErrWouldEmpty)
	}
	return nil
}

// Reclaimable is the number of bytes that the deletions give back, at most:
// files that checkpoints share by hard link or reflink are counted each time.
func Reclaimable(ds []Decision) int64 {
	var bytes int64
	for _, d := range ds {
		if d.Action == ActionDelete {
			bytes += d.Size
		}
	}
	return bytes
}
