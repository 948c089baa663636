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
	for _, kind := range []struct {
		plural string
		rule   Rule
	}{
		{midEpoch, r.MidEpoch},
		{"epoch ends", r.EpochEnd},
		{"best checkpoints", r.Best},
	} {
		if kind.rule.set() {
			parts = append(parts, fmt.Sprintf("of the %s, keep %s", kind.plural, kind.rule.keeps()))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "keep every checkpoint"+r.limits())
	} else {
		parts = append(parts, "keep every other checkpoint"+r.limits())
	}
	if r.History.set() {
		parts = append(parts, "of the earlier versions of a name, keep "+r.History.keeps())
	}
	s := strings.Join(parts, "; ")
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// limits says under which conditions what no rule names is kept.
func (r Retention) limits() string {
	var conditions []string
	if r.MaxTotal > 0 {
		conditions = append(conditions, "the run takes at most "+formatSize(r.MaxTotal))
	}
	if r.MinFree.Percent > 0 {
		conditions = append(conditions, fmt.Sprintf("%s of the disk is free", r.MinFree))
	} else if r.MinFree.set() {
		conditions = append(conditions, fmt.Sprintf("%s is free", r.MinFree))
	}
	if len(conditions) == 0 {
		return ""
	}
	return " while " + strings.Join(conditions, " and ")
}

// keeps is the rule as the object of "keep".
func (r Rule) keeps() string {
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
