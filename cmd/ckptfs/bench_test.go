package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The fastest round counts, the median is told beside it, and a ratio above 1 is
// a gain.
func TestBenchSummarize(t *testing.T) {
	ms := func(n ...int) (out []time.Duration) {
		for _, n := range n {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for _, test := range []struct {
		name        string
		times, disk []time.Duration
		want        sideResult
	}{
		{"slower", ms(40, 20, 90), ms(10, 30, 20), sideResult{Name: "a", Fastest: 0.02, Median: 0.04, Ratio: 0.5, MedianRatio: 0.5}},
		{"faster", ms(5), ms(10), sideResult{Name: "a", Fastest: 0.005, Median: 0.005, Ratio: 2, MedianRatio: 2}},
		{"not on the disk", ms(1000, 2000), nil, sideResult{Name: "a", Fastest: 1, Median: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, summarize("a", test.times, test.disk)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBenchRow(t *testing.T) {
	list := caseResult{Name: "list", Sides: []sideResult{
		{Name: "disk", Fastest: 0.0123, Ratio: 1, MedianRatio: 1},
		{Name: "ckptfs", Fastest: 0.0246, Ratio: 0.5, MedianRatio: 0.4},
		{Name: "bindfs", Fastest: 0.123, Ratio: 0.1},
	}}
	save := caseResult{Name: "save", Bytes: 512 << 20, Sides: []sideResult{{Name: "disk", Fastest: 0.5}, {Name: "ckptfs", Fastest: 1, Ratio: 0.5, MedianRatio: 0.5}}}
	mount := caseResult{Name: "mount", Sides: []sideResult{{Name: "ckptfs", Fastest: 1.5}, {Name: "bindfs", Fastest: 0.00025}}}
	for _, test := range []struct {
		c    caseResult
		want string
	}{
		{list, "list|12.3 ms|24.6 ms|0.50|0.40|0.10"},
		{save, "save|1.0 GiB/s|512 MiB/s|0.50|0.50|-"},
		{mount, "mount|-|1.50 s|-|-|250 µs"},
	} {
		if got := strings.Join(test.c.row([]string{"bindfs"}), "|"); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}

// A table is put where the marks are, and nothing else of a document changes.
func TestBenchBetween(t *testing.T) {
	const page = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
	once, err := between(page, "bench", "new\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n<!-- bench -->\n\nnew\n\n<!-- /bench -->\nafter\n"; once != want {
		t.Errorf("%q, want %q", once, want)
	}
	if twice, err := between(once, "bench", "new\n"); twice != once || err != nil {
		t.Errorf("the second time it is %q, %v", twice, err)
	}
	for _, page := range []string{"", "<!-- bench -->\n", "<!-- /bench -->\n<!-- bench -->\n", strings.ReplaceAll(page, "bench", "bench-peers")} {
		if _, err := between(page, "bench", "new\n"); err == nil {
			t.Errorf("%q was taken", page)
		}
	}
}

// Profiles show what is in memory: names of files, and a way to slow a mount down.
func TestProfileTarget(t *testing.T) {
	for _, test := range []struct {
		arg, want, refused string
	}{
		{arg: "/tmp/cpu.prof", want: "/tmp/cpu.prof"},
		{arg: "localhost:6060", want: "localhost:6060"},
		{arg: "[::1]:0", want: "[::1]:0"},
		{arg: "0.0.0.0:6060", refused: "this machine only"},
		{arg: ":6060", refused: "this machine only"},
		{arg: "a:b:c", refused: "write a file, or an address"},
	} {
		got, err := profileTarget(test.arg)
		if got != test.want || (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("%s: %q, %v", test.arg, got, err)
		}
	}
}
