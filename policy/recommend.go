package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// What is good enough where nobody knows how often the job fails: a crash is
// not to lose more than this, and saving not to take more than that.
const (
	tolerableLoss   = 30 * time.Minute
	tolerableSaving = 0.05
)

// A Recommendation names an interval, and why.
type Recommendation struct {
	SaveSteps int64  `json:"save_steps"`
	Reason    string `json:"reason"`
}

// Recommend chooses an interval: where the MTBF is known the one that costs
// least, whether it is among the given ones or not; else the given one with the
// fewest saves that is good enough, or one that is.
func (j Job) Recommend(among []int64) Recommendation {
	if j.MTBF > 0 {
		return j.cheapest()
	}
	return j.goodEnough(among)
}

// cheapest is next to Daly's interval, as whole numbers of batches and of saves
// in an epoch allow. Saves that are evenly apart are best.
func (j Job) cheapest() Recommendation {
	mtbf := j.MTBF.Seconds()
	young, daly := Young(j.SaveSeconds, mtbf), Daly(j.SaveSeconds, mtbf)
	within := func(n float64) float64 { return min(max(1, n), float64(j.BatchesPerEpoch)) }
	saves, length := within(j.work()/daly), within(daly/j.SecondsPerBatch)
	best := j.Plan(j.every(int64(saves)))
	for _, n := range []int64{j.every(int64(math.Ceil(saves))), int64(length), int64(math.Ceil(length))} {
		if s := j.Plan(n); s.MidEpochSaves > 0 && *s.ExpectedOverheadSeconds < *best.ExpectedOverheadSeconds {
			best = s
		}
	}
	reason := fmt.Sprintf("with a failure every %s and %s per save, saving costs least every %s by Young, every %s by Daly",
		formatDuration(j.MTBF), Span(j.SaveSeconds), j.interval(young), j.interval(daly))
	if best.SaveSteps == 0 {
		reason += "; an epoch is as good as that or shorter, so its end is enough"
	} else {
		reason += fmt.Sprintf("; in an epoch of %d batches every %s is best", j.BatchesPerEpoch, plural(best.SaveSteps, "step"))
	}
	return Recommendation{best.SaveSteps, fmt.Sprintf("%s. Saving then takes %s of the time, and a crash loses at most %s, %s on average",
		reason, percent(best.SavingShare()), Span(best.MaxLostMinutes*60), Span(best.ExpectedLostMinutes*60))}
}

func (j Job) goodEnough(among []int64) Recommendation {
	const unknown = "; give --mtbf for the interval that costs least"
	plans := make([]Strategy, 0, len(among))
	for _, n := range among {
		plans = append(plans, j.Plan(n))
	}
	slices.SortFunc(plans, func(a, b Strategy) int {
		return cmp.Or(cmp.Compare(a.SavesPerEpoch, b.SavesPerEpoch), cmp.Compare(a.SaveSteps, b.SaveSteps))
	})
	for _, s := range plans {
		if s.MaxLostMinutes <= tolerableLoss.Minutes() && s.SavingShare() <= tolerableSaving {
			return Recommendation{s.SaveSteps, fmt.Sprintf("the fewest saves of these with which a crash loses no more than %s: at most %s. Saving takes %s of the time%s",
				Span(tolerableLoss.Seconds()), Span(s.MaxLostMinutes*60), percent(s.SavingShare()), unknown)}
		}
	}
	needed := j.savesFor(tolerableLoss)
	affordable := math.Floor(tolerableSaving * j.work() / ((1 - tolerableSaving) * j.SaveSeconds))
	if affordable < needed {
		s := j.Plan(j.every(int64(min(max(1, affordable), float64(j.BatchesPerEpoch)))))
		if s.MaxLostMinutes <= tolerableLoss.Minutes() {
			return Recommendation{s.SaveSteps, fmt.Sprintf("a crash loses no more than %s, and the save takes %s of the time already%s",
				Span(s.MaxLostMinutes*60), percent(s.SavingShare()), unknown)}
		}
		return Recommendation{s.SaveSteps, fmt.Sprintf("more saves would take more than %s of the time (these take %s), although a crash loses up to %s%s",
			percent(tolerableSaving), percent(s.SavingShare()), Span(s.MaxLostMinutes*60), unknown)}
	}
	s := j.Plan(j.every(int64(min(needed, float64(j.BatchesPerEpoch)))))
	return Recommendation{s.SaveSteps, fmt.Sprintf("with it a crash loses at most %s, and saving takes %s of the time; none of the intervals compared loses no more than %s for at most %s%s",
		Span(s.MaxLostMinutes*60), percent(s.SavingShare()), Span(tolerableLoss.Seconds()), percent(tolerableSaving), unknown)}
}

// savesFor is how many saves an epoch needs, as its batches cannot be split,
// for a crash to lose no more than this.
func (j Job) savesFor(loss time.Duration) float64 {
	within := math.Floor(loss.Seconds() / j.SecondsPerBatch) // batches
	return math.Ceil(float64(j.BatchesPerEpoch) / max(1, within))
}

// interval names a time of training by the batches that it is.
func (j Job) interval(seconds float64) string {
	batches := int64(min(max(1, math.Round(seconds/j.SecondsPerBatch)), 1<<53))
	return fmt.Sprintf("%s (%s of training)", plural(batches, "step"), Span(seconds))
}

func percent(share float64) string {
	if share < 0.0995 {
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// Span is a time in seconds, for people: "3.2 s", "60 s", "4.5 min", "69 min", "5.4 h".
func Span(seconds float64) string {
	switch {
	case seconds == 0:
		return "0 s"
	case seconds < 9.95:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 119.5:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 9.95*60:
		return fmt.Sprintf("%.1f min", seconds/60)
	case seconds < 119.5*60:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	if days := seconds / 86400; days < 10_000 {
		return fmt.Sprintf("%.1f days", days)
	}
	return fmt.Sprintf("%.2g years", seconds/(365*86400))
}
