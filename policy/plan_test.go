package policy

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// guideJob is the job that the practice of the field is written down for.
func guideJob() Job {
	return Job{BatchesPerEpoch: 1270, SecondsPerBatch: 3.22, SaveSeconds: 20, CheckpointSize: 500_000_000, Epochs: 3}
}

func TestPlanGivesTheGuidesFigures(t *testing.T) {
	for _, want := range []struct {
		saveSteps, midEpoch           int64
		overhead, epoch, lost, diskGB float64
	}{
		{500, 2, 60, 69, 27, 3.5},
		{0, 0, 20, 68, 68, 0.5},
		{1000, 1, 40, 69, 54, 2.0},
		{1269, 1, 40, 69, 68, 2.0}, // one batch before the end
		{1270, 0, 20, 68, 68, 0.5}, // the end itself
		{5000, 0, 20, 68, 68, 0.5},
		{1, 1269, 25400, 491, 0, 1904},
	} {
		s := guideJob().Plan(want.saveSteps)
		if s.MidEpochSaves != want.midEpoch || s.SavesPerEpoch != want.midEpoch+1 || s.OverheadSeconds != want.overhead ||
			math.Round(s.EpochMinutes) != want.epoch || math.Round(s.MaxLostMinutes) != want.lost || float64(s.DiskBytes) != want.diskGB*1e9 {
			t.Errorf("save_steps %d: %+v, want %+v", want.saveSteps, s, want)
		}
		if s.ExpectedOverheadSeconds != nil {
			t.Errorf("save_steps %d: an expected overhead without an MTBF", want.saveSteps)
		}
	}
}

// By hand: a crash in an epoch of 10 batches of 60 s, saved after 4 and 8, falls
// into an interval of 4 with 8/10 and loses 2 minutes, of 2 with 2/10 and loses 1.
func TestPlanExpectedLoss(t *testing.T) {
	j := Job{BatchesPerEpoch: 10, SecondsPerBatch: 60, SaveSeconds: 5, CheckpointSize: 1, Epochs: 1, MTBF: time.Hour}
	s := j.Plan(4)
	if got, want := s.ExpectedLostMinutes, 1.8; math.Abs(got-want) > 1e-9 {
		t.Errorf("a crash loses %v minutes on average, want %v", got, want)
	}
	if got, want := *s.ExpectedOverheadSeconds, 15+615.0/3600*108; math.Abs(got-want) > 1e-9 {
		t.Errorf("an overhead of %v s, want %v", got, want)
	}
}

func TestOptimum(t *testing.T) {
	for _, test := range []struct{ save, mtbf, young, daly float64 }{
		{20, 12 * 3600, 1314.5, 1301.2},
		{300, 86400, 7200, 7001.4},
		{0.5, 3600, 60, 59.7},
		{100, 40, 89.4, 40}, // a save takes longer than two failures are apart
	} {
		young, daly := Young(test.save, test.mtbf), Daly(test.save, test.mtbf)
		if math.Abs(young-test.young) > 0.05 || math.Abs(daly-test.daly) > 0.05 {
			t.Errorf("a save of %v s, a failure every %v s: Young %.1f, Daly %.1f, want %v, %v", test.save, test.mtbf, young, daly, test.young, test.daly)
		}
	}
}

func TestRecommend(t *testing.T) {
	slow := guideJob()
	slow.SaveSeconds = 400 // two of them are more than 5 % of an epoch
	short := Job{BatchesPerEpoch: 10, SecondsPerBatch: 3, SaveSeconds: 20, CheckpointSize: 1, Epochs: 1}
	often := guideJob()
	often.MTBF = 12 * time.Hour
	rarely := guideJob()
	rarely.MTBF = 90 * day
	for _, test := range []struct {
		name   string
		job    Job
		among  []int64
		want   int64
		reason string
	}{
		{"the guide's", guideJob(), []int64{0, 500, 1000}, 500, "at most 27 min"},
		{"fewest saves of these", guideJob(), []int64{100, 200, 500, 550}, 500, "fewest saves"},
		{"none is good enough", guideJob(), []int64{0, 1000}, 424, "at most 23 min"},
		{"saving is too slow", slow, []int64{0, 100, 500, 1000}, 0, "more saves would take more than 5.0 %"},
		{"an epoch as short as a save", short, []int64{0, 5}, 0, "a crash loses no more than 30 s, and the save takes 40 % of the time already"},
		{"failures every 12 hours", often, []int64{0, 500, 1000}, 424, "every 408 steps (22 min of training) by Young, every 404 steps (22 min of training) by Daly"},
		{"hardly any failures", rarely, nil, 0, "its end is enough"},
	} {
		rec := test.job.Recommend(test.among)
		if rec.SaveSteps != test.want || !strings.Contains(rec.Reason, test.reason) {
			t.Errorf("%s: %d, %s; want %d, ... %s ...", test.name, rec.SaveSteps, rec.Reason, test.want, test.reason)
		}
	}
}

var jobToDraw = rapid.Custom(func(t *rapid.T) Job {
	return Job{
		BatchesPerEpoch: rapid.Int64Range(1, 3000).Draw(t, "batches"),
		SecondsPerBatch: rapid.Float64Range(0.01, 100).Draw(t, "seconds"),
		SaveSeconds:     rapid.Float64Range(0.01, 1000).Draw(t, "save"),
		CheckpointSize:  rapid.Int64Range(1, 1<<50).Draw(t, "size"),
		Epochs:          rapid.Int64Range(1, 100).Draw(t, "epochs"),
		MTBF:            time.Duration(rapid.Int64Range(0, 1_000_000).Draw(t, "mtbf")) * time.Second,
	}
})

func TestMoreSavesNeverLoseMoreNorCostLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := jobToDraw.Draw(t, "job")
		shorter := rapid.Int64Range(1, j.BatchesPerEpoch+1).Draw(t, "shorter")
		longer := rapid.Int64Range(shorter, j.BatchesPerEpoch+2).Draw(t, "longer")
		a, b := j.Plan(shorter), j.Plan(longer)
		const rounding = 1 + 1e-12
		if a.SavesPerEpoch < b.SavesPerEpoch || a.OverheadSeconds < b.OverheadSeconds || a.EpochMinutes < b.EpochMinutes || a.DiskBytes < b.DiskBytes {
			t.Errorf("every %d costs less than every %d: %+v, %+v", shorter, longer, a, b)
		}
		if a.MaxLostMinutes > b.MaxLostMinutes*rounding || a.ExpectedLostMinutes > b.ExpectedLostMinutes*rounding {
			t.Errorf("every %d loses more than every %d: %+v, %+v", shorter, longer, a, b)
		}
		if a.ExpectedLostMinutes > a.MaxLostMinutes/2*rounding {
			t.Errorf("every %d: %+v: more than half the longest interval", shorter, a)
		}
	})
}

// Against every interval that there is. Where a save is short against the time
// between failures nothing is cheaper than what is recommended, but for the last
// interval of an epoch, which need not be a whole one.
func TestRecommendedIsCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := jobToDraw.Draw(t, "job")
		j.MTBF = max(j.MTBF, time.Duration(200*j.SaveSeconds)*time.Second, time.Second)
		rec := j.Recommend(nil)
		got := *j.Plan(rec.SaveSteps).ExpectedOverheadSeconds
		for n := range j.BatchesPerEpoch {
			if cost := *j.Plan(n).ExpectedOverheadSeconds; cost < got*0.98 {
				t.Fatalf("save_steps %d takes %.3f s of an epoch, the recommended %d takes %.3f", n, cost, rec.SaveSteps, got)
			}
		}
	})
}

// A recommendation without an MTBF keeps to what it says.
func TestRecommendedIsGoodEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := jobToDraw.Draw(t, "job")
		j.MTBF = 0
		s := j.Plan(j.Recommend(j.Usual()).SaveSteps)
		tooRare := s.MaxLostMinutes > tolerableLoss.Minutes() && j.SecondsPerBatch < tolerableLoss.Seconds()
		tooOften := s.SavingShare() > tolerableSaving && s.MidEpochSaves > 0
		if tooOften {
			t.Errorf("save_steps %d takes %s of the time", s.SaveSteps, percent(s.SavingShare()))
		}
		if finer := j.Plan(j.every(s.SavesPerEpoch + 1)); tooRare && finer.SavesPerEpoch > s.SavesPerEpoch && finer.SavingShare() <= tolerableSaving {
			t.Errorf("save_steps %d loses %v minutes, and there is time for %d", s.SaveSteps, s.MaxLostMinutes, finer.SaveSteps)
		}
	})
}

func TestSpan(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 0.04: "0.0 s", 3.22: "3.2 s", 60: "60 s", 119: "119 s", 150: "2.5 min", 4149.4: "69 min", 19440: "5.4 h", 864000: "10.0 days", 1e12: "3.2e+04 years",
	} {
		if got := Span(seconds); got != want {
			t.Errorf("%v s: %s, want %s", seconds, got, want)
		}
	}
}

func TestCheckJob(t *testing.T) {
	for want, change := range map[string]func(*Job){
		"0 batches per epoch":   func(j *Job) { j.BatchesPerEpoch = 0 },
		"NaN seconds per batch": func(j *Job) { j.SecondsPerBatch = math.NaN() },
		"+Inf seconds per save": func(j *Job) { j.SaveSeconds = math.Inf(1) },
		"-1 epochs":             func(j *Job) { j.Epochs = -1 },
		"checkpoint of 0 bytes": func(j *Job) { j.CheckpointSize = 0 },
	} {
		j := guideJob()
		if err := j.Check(); err != nil {
			t.Fatal(err)
		}
		change(&j)
		if err := j.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want ... %s ...", err, want)
		}
	}
}

func TestIntervals(t *testing.T) {
	j := guideJob()
	if diff := cmp.Diff([]int64{0, 100, 200, 500, 1000}, j.Usual()); diff != "" {
		t.Errorf("usual (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{50, 100, 200, 424, 500, 1000, 0}, j.Curve(424, []int64{0, 500, 424})); diff != "" {
		t.Errorf("around 424 (-want +got):\n%s", diff)
	}
	j.BatchesPerEpoch = 1
	if diff := cmp.Diff([]int64{0}, j.Usual()); diff != "" {
		t.Errorf("an epoch of one batch (-want +got):\n%s", diff)
	}
}
