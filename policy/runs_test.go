package policy

import (
	"testing"

	"ckptfs/layout"
)

// TestFor: what is said of a run goes before what is said of all.
func TestFor(t *testing.T) {
	c, err := Parse("f", []byte(`
best: {metric: f1}
retention:
  mid_epoch: {keep_last: 2, max_age: 7d}
  history: {keep_last: 3}
  max_total: 50GB
runs:
  sweep/*: {retention: {max_total: 5GB, mid_epoch: {keep_last: 0}}}
  sweep/keep: {retention: {max_total: 0}, resume: {prefer: progress}}
  .: {best: {metric: loss, mode: min}}
  "**/long": {retention: {history: {keep_last: all}, dry_run: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		run, total, metric, prefer string
		midEpoch                   int
		all, dry                   bool
	}{
		{"codebert", "50GB", "f1", PreferPriority, 2, false, false},
		{"sweep/1", "5GB", "f1", PreferPriority, 0, false, false},
		{"sweep/keep", "0B", "f1", PreferProgress, 0, false, false},
		{"sweep/1/deeper", "50GB", "f1", PreferPriority, 2, false, false},
		{".", "50GB", "loss", PreferPriority, 2, false, false},
		{"a/b/long", "50GB", "f1", PreferPriority, 2, true, true},
		{"sweep/long", "5GB", "f1", PreferPriority, 0, true, true},
	} {
		t.Run(test.run, func(t *testing.T) {
			got := c.For(test.run, nil)
			r := got.Retention
			if r.MaxTotal.String() != test.total || *r.MidEpoch.KeepLast != test.midEpoch || r.MidEpoch.MaxAge != 7*day ||
				(r.History.KeepLast == nil) != test.all || r.DryRun != test.dry {
				t.Errorf("retention %+v", r)
			}
			if got.Best.Metric != test.metric || got.Resume.Prefer != test.prefer {
				t.Errorf("best %+v, resume %+v", got.Best, got.Resume)
			}
		})
	}
	l, err := layout.ByName(layout.With(nil), "transformers")
	if err != nil {
		t.Fatal(err)
	}
	if usual := c.For("codebert", l).Best.Usual; usual == nil || *usual != (BestPolicy{Metric: "eval_loss", Mode: ModeMin}) {
		t.Errorf("the trainer's own metric is %+v", usual)
	}
	if *c.Retention.MidEpoch.KeepLast != 2 || c.Best.Usual != nil {
		t.Error("asking about a run has changed the configuration")
	}
}
