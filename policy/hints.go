package policy

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"ckptfs/layout"
)

// Facts are what there is to know of a run for Hints.
type Facts struct {
	Path        string // of the run, as a command names it
	Checkpoints []Checkpoint
	Views       Views // what they resolved to
	Retention   Retention
	Saves       []Save   // what is known of the saves, in any order
	Gaps        bool     // some saves in between may be missing from them
	Free        int64    // bytes that saves may take, with what would give way
	Bare        []string // checkpoints that training resumes from, without the state of an optimizer
}

// Hints are what the user may want to change about a run, each with the command or
// the setting that does it. save_steps is the trainer's own setting.
func Hints(f Facts) (hints []string) {
	var often, seldom string
	if r, ok := f.rhythm(); ok {
		often, seldom = f.oftenSaved(r), f.seldomSaved(r)
	}
	for _, hint := range []string{
		often, seldom, f.behind(), f.little(), f.bare(), f.finished(),
	} {
		if hint != "" {
			hints = append(hints, hint)
		}
	}
	return hints
}

// rhythm is how a run saves: so many steps of so many seconds each, then one save.
type rhythm struct{ steps, perStep, save float64 }

// rhythm is known when the times of the saves are those of training.
func (f Facts) rhythm() (r rhythm, ok bool) {
	m := Measure(f.Saves, Job{})
	if m.Job.SaveSeconds == 0 || m.Job.SecondsPerBatch == 0 {
		return r, false
	}
	var steps []float64
	pauses := pausesOf(sortedByEnd(f.Saves))
	for i := 1; i < len(pauses); i++ {
		if trained := pauses[i].step - pauses[i-1].step; trained > 0 {
			steps = append(steps, float64(trained))
		}
	}
	return rhythm{median(steps), m.Job.SecondsPerBatch, m.Job.SaveSeconds}, true
}

// share is the part of the time that saving takes when it happens after so many
// steps.
func (r rhythm) share(steps float64) float64 { return r.save / (r.save + steps*r.perStep) }

// The fewest steps for which saving takes no more of the time than is tolerable,
// and the most for which a crash loses no more. Where both cannot be had the
// former goes first, so that the hints do not send anybody back and forth.
func (r rhythm) fewest() float64 {
	return roundUp(r.save * (1 - tolerableSaving) / tolerableSaving / r.perStep)
}

func (r rhythm) most() float64 {
	return max(roundDown(tolerableLoss.Seconds()/r.perStep), r.fewest())
}

// worthwhile is by how much save_steps has to change for anybody to be told.
const worthwhile = 0.1

// oftenSaved: saving takes too much of the time.
func (f Facts) oftenSaved(r rhythm) string {
	if r.share(r.steps) <= tolerableSaving || r.fewest() < r.steps*(1+worthwhile) {
		return ""
	}
	return fmt.Sprintf("saving takes %s of the time (%s after %s of training); raise save_steps from %.0f to %.0f; ckptfs plan %s compares",
		percent(r.share(r.steps)), Span(r.save), Span(r.steps*r.perStep), r.steps, r.fewest(), f.Path)
}

// seldomSaved: a crash loses too much.
func (f Facts) seldomSaved(r rhythm) string {
	if f.Gaps || r.steps*r.perStep <= tolerableLoss.Seconds() || r.most() > r.steps*(1-worthwhile) {
		return ""
	}
	return fmt.Sprintf("a crash would lose up to %s of training; lower save_steps from %.0f to %.0f; ckptfs plan %s compares",
		Span(r.steps*r.perStep), r.steps, r.most(), f.Path)
}

// behind: resume/ is not the most advanced checkpoint.
func (f Facts) behind() string {
	_, _, hint := Behind(f.Checkpoints, f.Views)
	return hint
}

// little: there is space for fewer than two more saves.
func (f Facts) little() string {
	largest := int64(0)
	for _, c := range f.Checkpoints {
		if c.committed() {
			largest = max(largest, c.Size)
		}
	}
	if largest == 0 || f.Free/2 >= largest {
		return ""
	}
	saves := "no further save"
	if f.Free >= largest {
		saves = "one more save only"
	}
	remedy := "set retention.max_total, or move the run to a larger disk"
	if ds := Retain(f.Checkpoints, f.Views, KeepLast(1), time.Time{}); Reclaimable(ds) > 0 && Refusal(ds) == nil {
		remedy = fmt.Sprintf("ckptfs prune --keep-last 1 %s frees %s", f.Path, humanize.IBytes(uint64(Reclaimable(ds))))
	}
	return fmt.Sprintf("there is space for %s (%s are free, a save takes %s); %s",
		saves, humanize.IBytes(uint64(max(f.Free, 0))), humanize.IBytes(uint64(largest)), remedy)
}

// bare: training would resume with an optimizer that has forgotten everything.
func (f Facts) bare() string {
	if len(f.Bare) == 0 {
		return ""
	}
	verb := "holds"
	if len(f.Bare) > 1 {
		verb = "hold"
	}
	return fmt.Sprintf("%s %s no optimizer state, so training resumed from it starts its optimizer anew; have the trainer save that too (transformers: save_only_model false), and see ckptfs inspect %s",
		strings.Join(f.Bare, ", "), verb, joinPath(f.Path, f.Bare[0]))
}

// finished: mid-epoch checkpoints whose epoch has ended, and no rule that says so.
func (f Facts) finished() string {
	if f.Retention.MidEpoch.set() {
		return ""
	}
	rules := Retention{MidEpoch: Rule{KeepLast: new(0), When: WhenEpochEnd}, NumberedOnly: true}
	midEpoch := map[[2]string]bool{} // by version and name
	for i := range f.Checkpoints {
		if c := &f.Checkpoints[i]; c.Kind == layout.MidEpoch {
			midEpoch[[2]string{c.ID, c.Name}] = true
		}
	}
	var names []string
	bytes := int64(0)
	for _, d := range Retain(f.Checkpoints, f.Views, rules, time.Time{}) {
		if d.Action == ActionDelete && midEpoch[[2]string{d.ID, d.Name}] {
			names = append(names, d.Name)
			bytes += d.Size
		}
	}
	if len(names) == 0 {
		return ""
	}
	some := strings.Join(names[:min(2, len(names))], ", ")
	if len(names) > 2 {
		some += ", …"
	}
	takes := "is a mid-epoch checkpoint of an epoch that has ended, and takes"
	if len(names) > 1 {
		takes = "are mid-epoch checkpoints of epochs that have ended, and take"
	}
	return fmt.Sprintf("%s %s %s; ckptfs prune --keep-last 0 %s deletes what no view shows, retention.mid_epoch: {keep_last: 0, when: epoch_end} does so after each epoch",
		some, takes, humanize.IBytes(uint64(bytes)), f.Path)
}

func joinPath(dir, name string) string {
	if quoted, ok := strings.CutSuffix(dir, "'"); ok { // for a shell
		return quoted + "/" + name + "'"
	}
	return dir + "/" + name
}

// roundUp and roundDown leave two digits that count, and at least 1.
func roundUp(n float64) float64 {
	unit := digit(n)
	return max(1, math.Ceil(n/unit)*unit)
}

func roundDown(n float64) float64 {
	unit := digit(n)
	return max(1, math.Floor(n/unit)*unit)
}

func digit(n float64) float64 {
	return math.Pow(10, max(0, math.Floor(math.Log10(max(n, 1)))-1))
}
