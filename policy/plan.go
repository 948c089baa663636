package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Job is what the cost of saving follows from.
type Job struct {
	BatchesPerEpoch int64         `json:"batches_per_epoch"`
	SecondsPerBatch float64       `json:"seconds_per_batch"`
	SaveSeconds     float64       `json:"save_seconds"`    // that training stands still for one save
	CheckpointSize  int64         `json:"checkpoint_size"` // bytes
	Epochs          int64         `json:"epochs"`
	MTBF            time.Duration `json:"-"` // mean time between failures; 0 when nothing is known of them
}

// Check says what keeps a job from being planned.
func (j Job) Check() error {
	const most = 1 << 40 // more of anything is a slip of the hand
	for _, v := range []struct {
		what   string
		number float64
	}{
		{"batches per epoch", float64(j.BatchesPerEpoch)},
		{"seconds per batch", j.SecondsPerBatch},
		{"seconds per save", j.SaveSeconds},
		{"epochs", float64(j.Epochs)},
	} {
		if !(v.number > 0 && v.number <= most) {
			return fmt.Errorf("%v %s: it has to be more than 0, and at most 2^40", v.number, v.what)
		}
	}
	switch {
	case j.CheckpointSize <= 0:
		return fmt.Errorf("a checkpoint of %d bytes: it has to have some", j.CheckpointSize)
	case j.MTBF < 0:
		return fmt.Errorf("failures every %s: it has to be more than 0", j.MTBF)
	}
	return nil
}

// work is the training of one epoch, in seconds.
func (j Job) work() float64 { return float64(j.BatchesPerEpoch) * j.SecondsPerBatch }

// A Strategy is what it costs to save every so many steps of an epoch, and at
// its end.
type Strategy struct {
	SaveSteps           int64   `json:"save_steps"` // 0: only at the end
	MidEpochSaves       int64   `json:"mid_epoch_saves"`
	SavesPerEpoch       int64   `json:"saves_per_epoch"` // with the one at the end
	OverheadSeconds     float64 `json:"overhead_seconds"`
	EpochMinutes        float64 `json:"epoch_minutes"`
	MaxLostMinutes      float64 `json:"max_lost_minutes"`      // by one crash, just before a save
	ExpectedLostMinutes float64 `json:"expected_lost_minutes"` // by one crash, at any moment of training
	DiskBytes           int64   `json:"disk_bytes"`            // when every mid-epoch checkpoint is kept, and the last epoch's end

	// What saving and crashes take of an epoch together; nil without an MTBF.
	ExpectedOverheadSeconds *float64 `json:"expected_overhead_seconds,omitempty"`
}

// Plan works out what saving every so many steps costs.
//
// What a crash loses is the training since the save before, which has to be done
// again; the time of a save itself is counted once, as overhead.
func (j Job) Plan(saveSteps int64) Strategy {
	mid := j.midEpochSaves(saveSteps)
	s := Strategy{SaveSteps: saveSteps, MidEpochSaves: mid, SavesPerEpoch: mid + 1}
	s.OverheadSeconds = float64(s.SavesPerEpoch) * j.SaveSeconds
	s.EpochMinutes = (j.work() + s.OverheadSeconds) / 60

	longest, last := float64(j.BatchesPerEpoch), float64(j.BatchesPerEpoch)
	if mid > 0 {
		longest, last = float64(saveSteps), float64(j.BatchesPerEpoch-mid*saveSteps)
	}
	s.MaxLostMinutes = longest * j.SecondsPerBatch / 60
	// A crash falls into an interval as often as that is long, and loses half of
	// it on average.
	squares := float64(mid)*longest*longest + last*last
	s.ExpectedLostMinutes = squares / (2 * float64(j.BatchesPerEpoch)) * j.SecondsPerBatch / 60

	s.DiskBytes = math.MaxInt64 // more than that is as good as no end
	if n := float64(mid)*float64(j.Epochs) + 1; n*float64(j.CheckpointSize) < 1<<62 {
		s.DiskBytes = (mid*j.Epochs + 1) * j.CheckpointSize
	}
	if j.MTBF > 0 {
		crashes := s.EpochMinutes * 60 / j.MTBF.Seconds()
		total := s.OverheadSeconds + crashes*s.ExpectedLostMinutes*60
		s.ExpectedOverheadSeconds = &total
	}
	return s
}

// midEpochSaves is how often a multiple of the interval lies before the end of
// an epoch, which is saved anyway.
func (j Job) midEpochSaves(saveSteps int64) int64 {
	if saveSteps <= 0 {
		return 0
	}
	return (j.BatchesPerEpoch - 1) / saveSteps
}

// SavingShare is the part of the time that saving takes.
func (s Strategy) SavingShare() float64 { return s.OverheadSeconds / (s.EpochMinutes * 60) }

// Young is the interval between saves, in seconds of training, that costs the
// least where a save takes save seconds and failures are mtbf seconds apart
// (J. W. Young, 1974).
func Young(save, mtbf float64) float64 { return math.Sqrt(2 * save * mtbf) }

// Daly is Young's interval with the terms that matter where a save is not short
// against the time between failures (J. T. Daly, 2006, equation 37).
func Daly(save, mtbf float64) float64 {
	if save >= 2*mtbf {
		return mtbf
	}
	x := save / (2 * mtbf)
	return Young(save, mtbf)*(1+math.Sqrt(x)/3+x/9) - save
}

// every is the interval that makes so many saves of an epoch, evenly apart; 0
// for one at its end.
func (j Job) every(saves int64) int64 {
	if saves <= 1 {
		return 0
	}
	saves = min(saves, j.BatchesPerEpoch)
	return (j.BatchesPerEpoch + saves - 1) / saves
}

// Usual are the intervals that are compared where nobody names any: none, and the
// four largest round ones below an epoch.
func (j Job) Usual() []int64 { return append([]int64{0}, j.round(1, 4)...) }

// round are the largest of 1, 2, 5, 10, 20, ... from least to below an epoch, at
// most so many.
func (j Job) round(least int64, most int) (all []int64) {
	for ten := int64(1); ten < j.BatchesPerEpoch; ten *= 10 {
		for _, n := range []int64{ten, 2 * ten, 5 * ten} {
			if n >= least && n < j.BatchesPerEpoch {
				all = append(all, n)
			}
		}
	}
	return all[max(0, len(all)-most):]
}

// Curve are the intervals that show how the cost changes around one: round ones
// from a sixteenth of it on, and those that are given. The end of an epoch, 0,
// comes last, as the longest.
func (j Job) Curve(around int64, given []int64) []int64 {
	if around == 0 {
		around = j.BatchesPerEpoch
	}
	all := append(j.round(around/16, 12), given...)
	slices.SortFunc(all, func(a, b int64) int { return cmp.Compare(length(a), length(b)) })
	return slices.Compact(all)
}

// length is the interval in batches: that of an epoch where only its end is saved.
func length(saveSteps int64) int64 {
	if saveSteps == 0 {
		return math.MaxInt64
	}
	return saveSteps
}
