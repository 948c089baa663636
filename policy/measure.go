package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"ckptfs/layout"
)

// A Save is what is left of one save: the checkpoint that it made, and when.
type Save struct {
	Name string
	layout.Progress
	Size  int64
	Began time.Time // its first file was written; zero when nobody knows
	Ended time.Time // its last one was
}

// The quantities of a Job, called as the flags that give them.
const (
	Batches     = "batches-per-epoch"
	BatchTime   = "seconds-per-batch"
	SaveTime    = "save-seconds"
	SizeOfOne   = "checkpoint-size"
	EpochsOfRun = "epochs"
)

// Measured is what the history of a run says about a job. A quantity that it
// does not give is zero in Job, and has its reason in Unknown.
type Measured struct {
	Job     Job
	From    map[string]string
	Unknown map[string]string
}

// Measure finds out about a job from its saves. What is given counts, and is not
// measured; it is zero where nothing is given.
func Measure(saves []Save, given Job) Measured {
	m := Measured{Job: given, From: map[string]string{}, Unknown: map[string]string{}}
	saves = sortedByEnd(saves)
	pauses := pausesOf(saves)
	m.batches(saves)
	m.saveTime(pauses)
	m.batchTime(pauses)
	m.sizeOfOne(saves)
	m.epochs(saves)
	return m
}

func sortedByEnd(saves []Save) []Save {
	return slices.SortedFunc(slices.Values(saves), func(a, b Save) int {
		return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.Name, b.Name))
	})
}

func (m *Measured) batches(saves []Save) {
	if m.Job.BatchesPerEpoch != 0 {
		return
	}
	for _, s := range slices.Backward(saves) {
		if n := s.batchesPerEpoch(); n > 0 {
			m.Job.BatchesPerEpoch = n
			m.From[Batches] = fmt.Sprintf("%s is %s, step %d of the run", s.Name, s.Progress, *s.GlobalStep)
			return
		}
	}
	m.Unknown[Batches] = "no checkpoint tells its epoch, its step in the epoch and its step in the run"
}

// batchesPerEpoch follows from the steps of whole epochs, 0 where it does not.
func (s Save) batchesPerEpoch() int64 {
	if s.Epoch == nil || s.Step == nil || s.GlobalStep == nil {
		return 0
	}
	epochs := *s.Epoch
	if *s.Step != 0 {
		epochs--
	}
	if whole := *s.GlobalStep - *s.Step; epochs > 0 && whole > 0 && whole%epochs == 0 {
		return whole / epochs
	}
	return 0
}

// A pause is where training stood still to save, once or several times: the last
// checkpoint, and the best.
type pause struct {
	step         int64
	began, ended time.Time
}

// pausesOf puts together what was saved at one step. The saves are sorted.
func pausesOf(saves []Save) (all []pause) {
	for _, s := range saves {
		if s.GlobalStep == nil || s.Ended.IsZero() {
			continue
		}
		n := len(all) - 1
		if n < 0 || all[n].step != *s.GlobalStep {
			all = append(all, pause{*s.GlobalStep, s.Began, s.Ended})
			continue
		}
		all[n].ended = s.Ended
		if all[n].began.IsZero() || !s.Began.IsZero() && s.Began.Before(all[n].began) {
			all[n].began = s.Began
		}
	}
	return all
}

func (m *Measured) saveTime(pauses []pause) {
	if m.Job.SaveSeconds != 0 {
		return
	}
	var seconds []float64
	for _, p := range pauses {
		if !p.began.IsZero() && p.ended.After(p.began) {
			seconds = append(seconds, p.ended.Sub(p.began).Seconds())
		}
	}
	if len(seconds) == 0 {
		m.Unknown[SaveTime] = "the files of a checkpoint do not tell how long it took"
		return
	}
	m.Job.SaveSeconds = median(seconds)
	m.From[SaveTime] = fmt.Sprintf("from the first file to the last, the median of %s", plural(int64(len(seconds)), "save"))
}

// believable is how far apart the saves of a training job are at least. Where
// they are closer the files were copied, and tell when that was.
const believable = time.Second

func (m *Measured) batchTime(pauses []pause) {
	if m.Job.SecondsPerBatch != 0 {
		return
	}
	var seconds, apart []float64
	backward := 0
	for i := 1; i < len(pauses); i++ {
		before, p := pauses[i-1], pauses[i]
		trained := p.step - before.step
		if trained < 0 {
			backward++ // a job that was resumed, or a copy
			continue
		}
		// A pause that ends with a save takes its time from the training.
		t := p.ended.Sub(before.ended).Seconds() - m.Job.SaveSeconds
		if t > 0 {
			apart = append(apart, p.ended.Sub(before.ended).Seconds())
			seconds = append(seconds, t/float64(trained))
		}
	}
	switch {
	case len(seconds) == 0:
		m.Unknown[BatchTime] = "it takes two checkpoints of different steps, with the times of their saves"
	case median(apart) < believable.Seconds() || backward > len(seconds)/3:
		m.Unknown[BatchTime] = "the times of the checkpoints are not those of their saves, as when files are copied"
	default:
		m.Job.SecondsPerBatch = median(seconds)
		m.From[BatchTime] = fmt.Sprintf("from save to save, the median of %s", plural(int64(len(seconds)), "interval"))
	}
}

func (m *Measured) sizeOfOne(saves []Save) {
	if m.Job.CheckpointSize != 0 {
		return
	}
	if len(saves) == 0 || saves[len(saves)-1].Size == 0 {
		m.Unknown[SizeOfOne] = "there is no checkpoint"
		return
	}
	newest := saves[len(saves)-1]
	m.Job.CheckpointSize = newest.Size
	m.From[SizeOfOne] = newest.Name
}

func (m *Measured) epochs(saves []Save) {
	if m.Job.Epochs != 0 {
		return
	}
	for _, s := range saves {
		if s.Epoch != nil && *s.Epoch > m.Job.Epochs {
			m.Job.Epochs = *s.Epoch
			m.From[EpochsOfRun] = fmt.Sprintf("as many as have begun: %s is %s", s.Name, s.Progress)
		}
	}
	if m.Job.Epochs == 0 {
		m.Unknown[EpochsOfRun] = "no checkpoint tells its epoch"
	}
}

// median is of at least one number.
func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}
