package policy

import (
	"errors"
	"fmt"
)

// ErrWouldEmpty is the reason for refusing rules that by themselves leave a run
// without a checkpoint to resume from.
var ErrWouldEmpty = errors.New("by these rules no committed checkpoint would be left")

// Refusal returns an error that wraps ErrWouldEmpty when the rules name no
// committed checkpoint that stays: what Retain spares then is left by its
// protection alone, and hardly what somebody who asks for it has in mind.
func Refusal(ds []Decision) error {
	deleted, kept := 0, 0
	for _, d := range ds {
		switch {
		case d.State == History: // an earlier version is no checkpoint of its own
		case d.Action == ActionDelete:
			deleted++
		case d.Action == ActionKeep && !d.Spared:
			kept++
		}
	}
	if deleted > 0 && kept == 0 {
		return fmt.Errorf("refusing to delete %s: %w; keep one (--keep-last 1, keep_last: 1), or pin one",
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
