package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ckptfs/layout"
)

// every are the saves of a run that saves every so many steps: one takes so long,
// and a step between them so long.
func every(steps int64, perStep, save time.Duration) (saves []Save) {
	at := start
	for i := int64(1); i <= 5; i++ {
		at = at.Add(time.Duration(steps) * perStep)
		saves = append(saves, Save{
			Name: fmt.Sprintf("checkpoint-%d", i*steps), Progress: layout.Progress{GlobalStep: new(i * steps)},
			Size: 500e6, Began: at, Ended: at.Add(save),
		})
		at = at.Add(save)
	}
	return saves
}

func TestHints(t *testing.T) {
	ample := func(f *Facts) { f.Free = 1 << 40 }
	for _, test := range []struct {
		name  string
		facts func(f *Facts)
		want  []string
	}{
		{"nothing to say", func(f *Facts) { f.Saves = every(500, 3*time.Second, 20*time.Second) }, nil},
		{"nothing known", func(f *Facts) { *f = Facts{Path: "run"} }, nil},
		{"saves too often", func(f *Facts) { f.Saves = every(50, 3*time.Second, 20*time.Second) },
			[]string{"saving takes 12 % of the time (20 s after 2.5 min of training); raise save_steps from 50 to 130; ckptfs plan run compares"}},
		{"saves too seldom", func(f *Facts) { f.Saves = every(1000, 3*time.Second, 20*time.Second) },
			[]string{"a crash would lose up to 50 min of training; lower save_steps from 1000 to 600; ckptfs plan run compares"}},
		{"a save is so long that a crash has to lose much", func(f *Facts) { f.Saves = every(1200, 3*time.Second, 150*time.Second) },
			[]string{"a crash would lose up to 60 min of training; lower save_steps from 1200 to 950; ckptfs plan run compares"}},
		{"hardly worth it", func(f *Facts) { f.Saves = every(1000, 3*time.Second, 150*time.Second) }, nil},
		{"seldom, and too often all the same", func(f *Facts) { f.Saves = every(700, 3*time.Second, 200*time.Second) },
			[]string{"saving takes 8.7 % of the time (3.3 min after 35 min of training); raise save_steps from 700 to 1300; ckptfs plan run compares"}},
		{"saves were deleted in between", func(f *Facts) { f.Saves, f.Gaps = every(1000, 3*time.Second, 20*time.Second), true }, nil},
		{"the times are those of a copy", func(f *Facts) { f.Saves = every(50, time.Millisecond, 20*time.Millisecond) }, nil},
		{"resume is behind", func(f *Facts) { f.Checkpoints = enstackRun()[5:7] },
			[]string{"resume/ is 4 steps behind latest/ (last_checkpoint is end of epoch 2, checkpoint_epoch3_step4 is epoch 3 step 4); set resume.prefer: progress in .ckptfs.yaml to resume from the most advanced one"}},
		{"space for one save", func(f *Facts) { f.Free = 999e6 },
			[]string{"there is space for one more save only (953 MiB are free, a save takes 477 MiB); set retention.max_total, or move the run to a larger disk"}},
		{"space for two", func(f *Facts) { f.Free = 1000e6 }, nil},
		{"space for none, and what would help", func(f *Facts) {
			f.Free = -1
			f.Checkpoints = []Checkpoint{midEpoch(3, 4), midEpoch(3, 6), midEpoch(3, 8), last(3)}
			f.Retention.MidEpoch.KeepLast = new(3)
		}, []string{"there is space for no further save (0 B are free, a save takes 477 MiB); ckptfs prune --keep-last 1 run frees 954 MiB"}},
		{"no optimizer", func(f *Facts) { f.Bare = []string{"last_checkpoint"} },
			[]string{"last_checkpoint holds no optimizer state, so training resumed from it starts its optimizer anew; have the trainer save that too (transformers: save_only_model false), and see ckptfs inspect run/last_checkpoint"}},
		{"no optimizer, in a path of its own", func(f *Facts) { f.Bare, f.Path = []string{"a", "b"}, "'my run'" },
			[]string{"a, b hold no optimizer state, so training resumed from it starts its optimizer anew; have the trainer save that too (transformers: save_only_model false), and see ckptfs inspect 'my run/a'"}},
		{"a finished epoch", func(f *Facts) {
			f.Checkpoints = []Checkpoint{midEpoch(2, 4), midEpoch(3, 4), last(2), last(3).but(state(Saving, ""))}
		},
			[]string{
				"resume/ is 4 steps behind latest/ (last_checkpoint is end of epoch 2, checkpoint_epoch3_step4 is epoch 3 step 4); set resume.prefer: progress in .ckptfs.yaml to resume from the most advanced one",
				"checkpoint_epoch2_step4 is a mid-epoch checkpoint of an epoch that has ended, and takes 477 MiB; ckptfs prune --keep-last 0 run deletes what no view shows, retention.mid_epoch: {keep_last: 0, when: epoch_end} does so after each epoch",
			}},
		{"finished epochs", func(f *Facts) { f.Checkpoints = []Checkpoint{midEpoch(1, 4), midEpoch(1, 8), midEpoch(2, 4), last(3)} },
			[]string{"checkpoint_epoch1_step4, checkpoint_epoch1_step8, … are mid-epoch checkpoints of epochs that have ended, and take 1.4 GiB; ckptfs prune --keep-last 0 run deletes what no view shows, retention.mid_epoch: {keep_last: 0, when: epoch_end} does so after each epoch"}},
		{"a finished epoch, as a rule has it", func(f *Facts) {
			f.Checkpoints = []Checkpoint{midEpoch(2, 4), last(2)}
			f.Retention.MidEpoch.KeepLast = new(1)
		}, nil},
		{"a finished epoch, pinned", func(f *Facts) {
			f.Checkpoints = []Checkpoint{midEpoch(2, 4).but(func(c *Checkpoint) { c.Pinned = true }), last(2)}
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := Facts{Path: "run", Checkpoints: []Checkpoint{last(2)}}
			ample(&f)
			test.facts(&f)
			f.Views = Resolve(f.Checkpoints, Default())
			if diff := cmp.Diff(test.want, Hints(f)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestHintsAgree: who does what a hint says of save_steps is not told to go back,
// and hears nothing more of it.
func TestHintsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perStep := time.Duration(rapid.IntRange(10, 20_000).Draw(t, "ms a step")) * time.Millisecond
		save := time.Duration(rapid.IntRange(1, 600).Draw(t, "s a save")) * time.Second
		steps := rapid.Int64Range(1, 100_000).Draw(t, "steps")
		advice := func(steps int64) string {
			hints := Hints(Facts{Path: "run", Saves: every(steps, perStep, save), Views: Resolve(nil, Default())})
			i := slices.IndexFunc(hints, func(h string) bool { return strings.Contains(h, "save_steps") })
			if i < 0 {
				return ""
			}
			return hints[i]
		}
		hint := advice(steps)
		if hint == "" {
			return
		}
		var from, to int64
		_, after, _ := strings.Cut(hint, "save_steps ")
		if _, err := fmt.Sscanf(after, "from %d to %d", &from, &to); err != nil || from != steps || to < 1 {
			t.Fatalf("%v in %q", err, hint)
		}
		if again := advice(to); again != "" {
			t.Fatalf("first %q, then %q", hint, again)
		}
	})
}
