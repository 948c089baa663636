package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ckptfs/layout"
)

func preset(t *testing.T, name string) Config {
	t.Helper()
	data, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPresetsSayWhy: each is a configuration, and each line with a value has its
// reason.
func TestPresetsSayWhy(t *testing.T) {
	if got := strings.Join(Presets(), " "); got != "colab local long" {
		t.Errorf("there are %s", got)
	}
	value := regexp.MustCompile(`^ *[a-z_]+: *[^ #]`)
	reason := regexp.MustCompile(` # .{10,}$`)
	for _, name := range Presets() {
		preset(t, name)
		data, _ := Preset(name)
		for i, line := range strings.Split(string(data), "\n") {
			if value.MatchString(line) && !reason.MatchString(line) {
				t.Errorf("%s:%d: %q does not say why", name, i+1, line)
			}
		}
	}
	if _, err := Preset("cloud"); err == nil || !strings.Contains(err.Error(), "colab, local, long") {
		t.Errorf("a preset that is none: %v", err)
	}
}

// survivors are the names that a preset leaves of a run, a day after it began, on a
// disk of 1 TB, in the order of progress.
func survivors(t *testing.T, c Config, cs []Checkpoint) (names []string) {
	t.Helper()
	for _, d := range Retain(cs, Resolve(cs, c), c.Retention.On(1e12), start.Add(day)) {
		if d.Action == ActionKeep {
			names = append(names, d.Name)
		}
	}
	return names
}

// TestPresets do what their comments say.
func TestPresets(t *testing.T) {
	colab, local, long := preset(t, "colab"), preset(t, "local"), preset(t, "long")
	within := append(enstackRun(), midEpoch(3, 8), midEpoch(3, 6)) // in the third epoch
	ended := endedRun()

	resume := func(c Config, cs []Checkpoint) string { return target(cs, Resolve(cs, c).Resume.Target) }
	for _, test := range []struct {
		what      string
		got, want string
	}{
		{"colab goes on from the most advanced one", resume(colab, within), "checkpoint_epoch3_step8"},
		{"local goes on from the last epoch's end", resume(local, within), "last_checkpoint"},
		{"long goes on from the most advanced one", resume(long, within), "checkpoint_epoch3_step8"},

		{"colab keeps two within an epoch, whether it has ended or not", fmt.Sprint(survivors(t, colab, within)),
			"[best_model last_checkpoint recovery_checkpoint checkpoint_epoch3_step6 checkpoint_epoch3_step8]"},
		{"local keeps all of them until it has", fmt.Sprint(survivors(t, local, within)),
			"[best_model last_checkpoint checkpoint_epoch3_step4 recovery_checkpoint checkpoint_epoch3_step6 checkpoint_epoch3_step8]"},
		{"and none afterwards, nor the recovery checkpoint", fmt.Sprint(survivors(t, local, ended)), "[best_model last_checkpoint]"},
		{"long keeps three", fmt.Sprint(survivors(t, long, within)),
			"[best_model last_checkpoint checkpoint_epoch3_step4 recovery_checkpoint checkpoint_epoch3_step6 checkpoint_epoch3_step8]"},

		{"colab keeps two steps", fmt.Sprint(survivors(t, colab, manySteps())), "[checkpoint-35000 checkpoint-40000]"},
		{"local keeps three", fmt.Sprint(survivors(t, local, manySteps())), "[checkpoint-30000 checkpoint-35000 checkpoint-40000]"},
		{"long keeps every 10,000 and the newest three", fmt.Sprint(survivors(t, long, manySteps())),
			"[checkpoint-10000 checkpoint-20000 checkpoint-30000 checkpoint-35000 checkpoint-40000]"},

		{"local keeps three epoch ends", fmt.Sprint(survivors(t, local, manyEpochs(12))), "[epoch_10 epoch_11 epoch_12]"},
		{"long every 5th too", fmt.Sprint(survivors(t, long, manyEpochs(12))), "[epoch_5 epoch_10 epoch_11 epoch_12]"},
		{"colab two", fmt.Sprint(survivors(t, colab, manyEpochs(12))), "[epoch_11 epoch_12]"},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", test.what, test.got, test.want)
		}
	}

	// The best by the metric, however old: one, one, three.
	scored := manyEpochs(12)
	for i := range scored {
		scored[i].Metrics = map[string]float64{"f1": -float64(i)}
	}
	for name, c := range map[string]Config{"colab": colab, "local": local, "long": long} {
		c.Best.Metric = "f1"
		want := map[string]int{"colab": 1, "local": 1, "long": 3}[name]
		left := survivors(t, c, scored)
		for i := 1; i <= 4; i++ {
			if has := slices.Contains(left, fmt.Sprintf("epoch_%d", i)); has != (i <= want) {
				t.Errorf("%s keeps %v, want the %d best", name, left, want)
			}
		}
	}

	// Half of the disk, and no more than that: colab.
	full, total := manyEpochs(3), int64(0)
	for i := range full {
		full[i].Size = 100e9
	}
	unruled := colab
	unruled.Retention.EpochEnd = Rule{}
	for _, d := range Retain(full, Resolve(full, unruled), unruled.Retention.On(400e9), start) {
		if d.Action == ActionKeep {
			total += d.Size
		}
	}
	if total != 200e9 {
		t.Errorf("colab leaves %d of 300 GB on a disk of 400 GB", total)
	}

	// The trash: two minutes and a twentieth of the disk; an hour; a day.
	trash := []Deleted{{At: start, Size: 40e9}, {At: start.Add(time.Minute), Size: 40e9}}
	for name, c := range map[string]Config{"colab": colab, "local": local, "long": long} {
		for _, test := range []struct {
			after time.Duration
			want  map[string]int // that are gone
		}{
			{90 * time.Second, map[string]int{"colab": 1}},
			{3 * time.Minute, map[string]int{"colab": 2}},
			{59 * time.Minute, map[string]int{"colab": 2}},
			{61 * time.Minute, map[string]int{"colab": 2, "local": 2}},
			{25 * time.Hour, map[string]int{"colab": 2, "local": 2, "long": 2}},
		} {
			if got := len(c.Retention.On(1e12).Empty(trash, start.Add(test.after))); got != test.want[name] {
				t.Errorf("%s: after %s %d are gone, want %d", name, test.after, got, test.want[name])
			}
		}
	}
	if !colab.Retention.ProtectLast || !local.Retention.ProtectLast || !long.Retention.ProtectLast {
		t.Error("a preset gives up the last one")
	}
	if colab.Save.Durability != "close" || local.Save.Durability != "async" || long.Scrub != 7*day {
		t.Error("durability and scrub are not as the comments say")
	}
}

// manySteps is a run of a trainer that only counts steps.
func manySteps() (cs []Checkpoint) {
	for step := int64(5000); step <= 40_000; step += 5000 {
		cs = append(cs, saved(fmt.Sprintf("checkpoint-%d", step), layout.Step, 1, step).but(func(c *Checkpoint) {
			c.Progress = layout.Progress{GlobalStep: &step}
		}))
	}
	return cs
}

// manyEpochs is one whose epoch ends have names of their own.
func manyEpochs(n int64) (cs []Checkpoint) {
	for epoch := int64(1); epoch <= n; epoch++ {
		cs = append(cs, saved(fmt.Sprintf("epoch_%d", epoch), layout.EpochEnd, epoch, 0))
	}
	return cs
}
