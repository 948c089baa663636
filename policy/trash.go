package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

// Deleted is one entry of the trash.
type Deleted struct {
	At   time.Time // when it was deleted, or the last view stopped showing it
	Size int64
	Kept bool // a view still shows it, or it is the newest valid version that is left
}

// Emptied is an entry that leaves the trash for good.
type Emptied struct {
	Index  int // into what Empty was given
	Reason string
}

// Empty says what leaves the trash for good, the oldest first: what is older than
// TrashTTL, and what exceeds TrashTotal. What is kept counts, and stays.
func (r Retention) Empty(trash []Deleted, now time.Time) (gone []Emptied) {
	oldest := make([]int, len(trash))
	total := int64(0)
	for i, d := range trash {
		oldest[i] = i
		total += d.Size
	}
	slices.SortStableFunc(oldest, func(i, j int) int { return trash[i].At.Compare(trash[j].At) })
	for _, i := range oldest {
		why := ""
		switch age := now.Sub(trash[i].At); {
		case trash[i].Kept:
		case age >= r.TrashTTL:
			why = fmt.Sprintf("deleted longer than %s ago (trash_ttl)", formatDuration(r.TrashTTL))
		case r.TrashTotal.Bytes > 0 && total > r.TrashTotal.Bytes:
			why = fmt.Sprintf("the oldest in the trash, which takes %s (trash_max_total: %s)", humanize.Bytes(uint64(total)), r.TrashTotal)
		}
		if why != "" {
			total -= trash[i].Size
			gone = append(gone, Emptied{i, why})
		}
	}
	return gone
}
