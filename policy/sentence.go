package policy

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// String says in one English sentence what the policy keeps. It is printed
// before anything is deleted.
func (r Retention) String() string {
	var parts []string
	midEpoch := "mid-epoch checkpoints"
	if r.MidEpoch.When != WhenAlways {
		midEpoch += " whose epoch has ended"
	}
	if r.MidEpoch.When != WhenAlways && !r.Step.set() {
		midEpoch += ", and of the steps"
	}
	for _, kind := range []struct {
		plural string
		rule   Rule
	}{
		{midEpoch, r.MidEpoch},
		{"steps", r.Step},
		{"epoch ends", r.EpochEnd},
	} {
		if kind.rule.set() {
			parts = append(parts, fmt.Sprintf("of the %s, keep %s", kind.plural, kind.rule.kept()))
		}
	}
	if r.MidEpoch.set() && !r.NumberedOnly {
		parts = append(parts, "a recovery checkpoint goes once its epoch has ended")
	}
	if r.Best.KeepLast != nil {
		parts = append(parts, "of all checkpoints, keep "+bestOnes(*r.Best.KeepLast))
	}
	if len(parts) == 0 {
		parts = append(parts, "keep every checkpoint"+r.limits())
	} else {
		parts = append(parts, "keep every other checkpoint"+r.limits())
	}
	if r.History.set() {
		parts = append(parts, "of the earlier versions of a name, keep "+r.History.kept())
	}
	if r.HistoryTotal.set() {
		parts = append(parts, "all earlier versions take at most "+r.HistoryTotal.ofDisk())
	}
	s := strings.Join(parts, "; ")
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// limits says under which conditions what no rule names is kept.
func (r Retention) limits() string {
	var conditions []string
	if r.MaxTotal.set() {
		conditions = append(conditions, "the run takes at most "+r.MaxTotal.ofDisk())
	}
	if r.MinFree.set() {
		conditions = append(conditions, r.MinFree.ofDisk()+" is free")
	}
	if len(conditions) == 0 {
		return ""
	}
	return " while " + strings.Join(conditions, " and ")
}

// bestOnes is what best.keep keeps.
func bestOnes(n int) string {
	switch n {
	case 0:
		return "no best one"
	case 1:
		return "the best"
	}
	return fmt.Sprintf("the %d best", n)
}

// ofDisk is the share for a sentence.
func (s Share) ofDisk() string {
	if s.Percent > 0 {
		return s.String() + " of the disk"
	}
	return s.String()
}

// kept is the rule as the object of "keep".
func (r Rule) kept() string {
	var kept []string
	switch {
	case r.KeepLast == nil || *r.KeepLast <= 0:
	case *r.KeepLast == 1:
		kept = append(kept, "the newest")
	default:
		kept = append(kept, fmt.Sprintf("the %d newest", *r.KeepLast))
	}
	if r.KeepEvery > 0 {
		kept = append(kept, fmt.Sprintf("every %s epoch", humanize.Ordinal(r.KeepEvery)))
	}
	if r.KeepEverySteps > 0 {
		kept = append(kept, fmt.Sprintf("the first of every %s steps", humanize.Comma(r.KeepEverySteps)))
	}
	switch {
	case len(kept) == 0 && r.KeepLast != nil:
		return "none"
	case len(kept) == 0:
		return "those younger than " + formatDuration(r.MaxAge)
	case r.MaxAge > 0:
		return strings.Join(kept, " and ") + ", none older than " + formatDuration(r.MaxAge)
	}
	return strings.Join(kept, " and ")
}
