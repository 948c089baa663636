package policy

import (
	"testing"
	"time"
)

// many is a run of n mid-epoch checkpoints, ten to an epoch, with its last and
// its best.
func many(n int) []Checkpoint {
	cs := make([]Checkpoint, 0, n)
	for i := range int64(n) - 2 {
		cs = append(cs, midEpoch(i/batches+1, i%batches+1))
	}
	epochs := int64(n-2)/batches + 1
	return append(cs, last(epochs), best(epochs))
}

// BenchmarkDecide is what a mount decides after each commit, and what `ckptfs
// prune` does: go test -bench Decide ./policy.
func BenchmarkDecide(b *testing.B) {
	cfg := Default()
	cfg.Retention.MidEpoch = Rule{KeepLast: new(5000), When: WhenAlways}
	cs := many(10_000)
	now := start.Add(365 * 24 * time.Hour)
	b.Run("views", func(b *testing.B) {
		for b.Loop() {
			if v := Resolve(cs, cfg); v.Latest.Target < 0 {
				b.Fatal("nothing resolves")
			}
		}
	})
	v := Resolve(cs, cfg)
	for name, decide := range map[string]func([]Checkpoint, Views, Retention, time.Time) []Decision{"retention": Retain, "room": Room} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if ds := decide(cs, v, cfg.Retention, now); len(ds) == 0 {
					b.Fatal("nothing was decided")
				}
			}
		})
	}
}
