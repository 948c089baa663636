package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestEmpty(t *testing.T) {
	// Each takes 4 bytes; the first was deleted last.
	trash := []Deleted{
		{At: nowToday.Add(-1 * time.Minute), Size: 4},
		{At: nowToday.Add(-2 * time.Minute), Size: 4, Kept: true},
		{At: nowToday.Add(-3 * time.Minute), Size: 4},
		{At: nowToday.Add(-10 * time.Minute), Size: 4},
	}
	for _, test := range []struct {
		name string
		r    Retention
		want []Emptied
	}{
		{"by age", Retention{TrashTTL: 10 * time.Minute}, []Emptied{{3, "deleted longer than 10m ago (trash_ttl)"}}},
		{"at once, but for what is kept", Retention{}, []Emptied{
			{3, "deleted longer than 0s ago (trash_ttl)"}, {2, "deleted longer than 0s ago (trash_ttl)"}, {0, "deleted longer than 0s ago (trash_ttl)"},
		}},
		{"never", Retention{TrashTTL: time.Hour}, nil},
		{"by size, the oldest first", Retention{TrashTTL: time.Hour, TrashTotal: Share{Bytes: 9}}, []Emptied{
			{3, "the oldest in the trash, which takes 16 B (trash_max_total: 9B)"},
			{2, "the oldest in the trash, which takes 12 B (trash_max_total: 9B)"},
		}},
		{"what is old counts no more", Retention{TrashTTL: 10 * time.Minute, TrashTotal: Share{Bytes: 12}}, []Emptied{
			{3, "deleted longer than 10m ago (trash_ttl)"},
		}},
		{"a part of the disk", Retention{TrashTTL: time.Hour, TrashTotal: Share{Percent: 10}}.On(120), []Emptied{
			{3, "the oldest in the trash, which takes 16 B (trash_max_total: 10%)"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.r.Empty(trash, nowToday)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestEmptySparesWhatIsKept: whatever the budget, that stays, and with a wider one
// nothing goes that stayed before.
func TestEmptySparesWhatIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trash := make([]Deleted, rapid.IntRange(0, 9).Draw(t, "length"))
		for i := range trash {
			trash[i] = Deleted{
				At:   nowToday.Add(-time.Duration(rapid.IntRange(-2, 9).Draw(t, "age")) * time.Minute),
				Size: rapid.Int64Range(0, 9).Draw(t, "size"), Kept: rapid.Bool().Draw(t, "kept"),
			}
		}
		narrow := Retention{
			TrashTTL:   time.Duration(rapid.IntRange(0, 9).Draw(t, "ttl")) * time.Minute,
			TrashTotal: Share{Bytes: rapid.Int64Range(1, 40).Draw(t, "budget")},
		}
		wide := narrow
		wide.TrashTTL *= 2
		wide.TrashTotal.Bytes += rapid.Int64Range(0, 9).Draw(t, "more")
		few := map[int]bool{}
		for _, e := range narrow.Empty(trash, nowToday) {
			if trash[e.Index].Kept || few[e.Index] || e.Reason == "" {
				t.Fatalf("empties %+v for %q", trash[e.Index], e.Reason)
			}
			few[e.Index] = true
		}
		for _, e := range wide.Empty(trash, nowToday) {
			if !few[e.Index] {
				t.Fatalf("the wider budget empties %+v", trash[e.Index])
			}
		}
	})
}
