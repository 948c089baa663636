package policy

import (
	"math"
	"strings"
	"testing"
	"time"

	"ckptfs/layout"
)

// trained is a run of 1270 batches per epoch, 3.22 s each, that stands still for
// 20 s to save: after every 500 batches and at the end of an epoch, when it saves
// its last and its best checkpoint. It ends after three epochs.
func trained() (saves []Save) {
	at := start
	training := func(batches int64) { at = at.Add(time.Duration(float64(batches) * 3.22 * float64(time.Second))) }
	save := func(name string, epoch, step, global int64, seconds int) {
		began := at
		at = at.Add(time.Duration(seconds) * time.Second)
		saves = append(saves, Save{
			Name: name, Progress: layout.Progress{Epoch: &epoch, Step: &step, GlobalStep: &global},
			Size: 500_000_000, Began: began, Ended: at,
		})
	}
	for epoch := range int64(3) {
		for _, step := range []int64{500, 1000} {
			training(500)
			save("mid", epoch+1, step, epoch*1270+step, 20)
		}
		training(270)
		save("last", epoch+1, 0, (epoch+1)*1270, 12)
		save("best", epoch+1, 0, (epoch+1)*1270, 8)
	}
	return saves
}

func TestMeasure(t *testing.T) {
	m := Measure(trained(), Job{})
	j := m.Job
	if len(m.Unknown) > 0 || j.BatchesPerEpoch != 1270 || math.Abs(j.SecondsPerBatch-3.22) > 0.001 || math.Abs(j.SaveSeconds-20) > 0.001 ||
		j.CheckpointSize != 500_000_000 || j.Epochs != 3 {
		t.Errorf("%+v, want the job that it was made from", m)
	}

	given := Job{BatchesPerEpoch: 7, SecondsPerBatch: 8, SaveSeconds: 9, CheckpointSize: 10, Epochs: 11, MTBF: time.Hour}
	if m := Measure(trained(), given); m.Job != given || len(m.From) > 0 {
		t.Errorf("%+v, want what was given", m)
	}
}

// A job that stood still over night trains no slower, and one that was resumed
// goes back a few steps.
func TestMeasureInterruptedRun(t *testing.T) {
	saves := trained()
	for i := 5; i < len(saves); i++ {
		saves[i].Began, saves[i].Ended = saves[i].Began.Add(9*time.Hour), saves[i].Ended.Add(9*time.Hour)
	}
	resumed := saves[5]
	resumed.Began, resumed.Ended = saves[4].Ended.Add(8*time.Hour), saves[4].Ended.Add(8*time.Hour+20*time.Second)
	resumed.GlobalStep = new(*saves[4].GlobalStep - 100)
	if m := Measure(append(saves, resumed), Job{}); math.Abs(m.Job.SecondsPerBatch-3.22) > 0.01 {
		t.Errorf("%v s a batch, want 3.22", m.Job.SecondsPerBatch)
	}
}

func TestMeasureSaysWhatIsUnknown(t *testing.T) {
	change := func(f func(i int, s *Save)) []Save {
		saves := trained()
		for i := range saves {
			f(i, &saves[i])
		}
		return saves
	}
	for _, test := range []struct {
		name   string
		saves  []Save
		lacks  string
		reason string
	}{
		{"nothing", nil, SizeOfOne, "there is no checkpoint"},
		{"one save", trained()[:1], BatchTime, "two checkpoints"},
		{"the first epoch", trained()[:2], Batches, "its epoch, its step"},
		{"steps of the run alone", change(func(_ int, s *Save) { s.Epoch, s.Step = nil, nil }), Batches, "its epoch, its step"},
		{"no epochs", change(func(_ int, s *Save) { s.Epoch, s.Step = nil, nil }), EpochsOfRun, "its epoch"},
		{"single files", change(func(_ int, s *Save) { s.Began = time.Time{} })[:2], SaveTime, "how long it took"},
		{"a copy without the times", change(func(i int, s *Save) {
			s.Began, s.Ended = start.Add(time.Duration(i)*time.Millisecond), start.Add(time.Duration(i)*time.Millisecond+time.Microsecond)
		}), BatchTime, "when files are copied"},
		{"a copy in another order", change(func(i int, s *Save) {
			s.Began, s.Ended = start.Add(time.Duration(i*7%12)*time.Hour), start.Add(time.Duration(i*7%12)*time.Hour+time.Second)
		}), BatchTime, "when files are copied"},
	} {
		m := Measure(test.saves, Job{})
		if got := m.Unknown[test.lacks]; !strings.Contains(got, test.reason) {
			t.Errorf("%s: --%s: %q, want ... %s ... (%+v)", test.name, test.lacks, got, test.reason, m)
		}
	}
}
