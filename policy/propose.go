package policy

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"ckptfs/layout"
)

// A Found is what lies in a directory for which a configuration is proposed.
type Found struct {
	Layouts []string // of its runs, without repetition
	Runs    []FoundRun
	Free    int64 // bytes of its file system
}

// A FoundRun is one run of it.
type FoundRun struct {
	Checkpoints []Checkpoint
	Views       Views // what they resolve to by default
}

// Propose writes a configuration for what was found, in which each line says why;
// nil when there is no checkpoint to go by.
func Propose(f Found) []byte {
	p := proposal{count: map[layout.Kind]int{}, metrics: map[string]bool{}}
	for _, run := range f.Runs {
		p.look(run)
	}
	if p.total == 0 {
		return nil
	}
	p.write("# ckptfs for what lies here, %s:\n# %s.\n# Proposed by ckptfs init; ckptfs init --print shows every key.\n",
		strings.Join(f.Layouts, ", "), p.found())
	p.resume()
	p.best()
	p.write("\nretention:\n")
	p.within()
	p.ends()
	p.write("  history:\n")
	p.line(4, "keep_last", "1", "what was overwritten last, in case the new one is no good")
	p.space(f.Free)
	p.line(2, "trash_ttl", "10m", "a deleted checkpoint can be restored for so long")
	p.line(2, "protect_last", "true", "the newest valid one stays, even when space is short")
	return p.text.Bytes()
}

// proposal is what was found of all runs together, and the text so far.
type proposal struct {
	text    bytes.Buffer
	count   map[layout.Kind]int
	total   int
	bytes   int64
	largest Checkpoint
	ended   string // a checkpoint that marks the end of an epoch; "" when none does
	best1   string // what best/ shows without a setting; "" when it shows nothing
	metrics map[string]bool
	behind  string // why resume/ should prefer progress; "" when it need not
}

func (p *proposal) look(run FoundRun) {
	for _, c := range run.Checkpoints {
		if !c.committed() {
			continue
		}
		p.count[c.Kind]++
		p.total++
		p.bytes += c.Size
		if c.Size > p.largest.Size || p.largest.Name == "" {
			p.largest = c
		}
		if c.endsEpoch() && c.Kind != layout.Best && c.Kind != layout.Backup {
			p.ended = c.Name
		}
		for name := range c.Metrics {
			p.metrics[name] = true
		}
	}
	v, cs := run.Views, run.Checkpoints
	if v.Best.Target >= 0 {
		p.best1 = cs[v.Best.Target].Name
	}
	if v.Resume.Target >= 0 && v.Latest.Target >= 0 && v.Remedy != "" {
		p.behind = fmt.Sprintf("%s is further than %s, with which the default would go on", cs[v.Latest.Target].Name, cs[v.Resume.Target].Name)
	}
}

// found counts what is there: "8 checkpoints (5 mid_epoch, 1 best)".
func (p *proposal) found() string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(p.count)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", p.count[kind], kind))
	}
	return fmt.Sprintf("%s (%s) of up to %s", plural(int64(p.total), "checkpoint"), strings.Join(kinds, ", "), humanize.IBytes(uint64(p.largest.Size)))
}

func (p *proposal) resume() {
	if p.behind == "" {
		return
	}
	p.write("\nresume:\n")
	p.line(2, "prefer", PreferProgress, p.behind)
}

func (p *proposal) best() {
	if p.best1 != "" || len(p.metrics) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(p.metrics))
	p.write("\n# best:\n")
	p.line(0, "#   metric", quote(names[0]), "nothing is called the best here; best/ can go by "+strings.Join(names, ", "))
}

// within is about what is saved within an epoch, or by step.
func (p *proposal) within() {
	mid, steps := p.count[layout.MidEpoch], p.count[layout.Step]
	if mid+steps == 0 {
		return
	}
	p.write("  mid_epoch:\n")
	p.line(4, "keep_last", "2", fmt.Sprintf("of %d there are: the newest, and one before it in case that turns out to be damaged", mid+steps))
	switch {
	case p.ended != "" && mid > 0:
		p.line(4, "when", WhenEpochEnd, fmt.Sprintf("ends of epochs are saved (%s), so what is within an epoch can wait for its end", p.ended))
	case mid > 0:
		p.line(4, "when", WhenAlways, "no end of an epoch is there to wait for")
	}
}

func (p *proposal) ends() {
	if n := p.count[layout.EpochEnd]; n > 0 {
		p.write("  epoch_end:\n")
		p.line(4, "keep_last", "3", fmt.Sprintf("of %d there are: the newest ones, to compare and to go back to", n))
		p.line(4, "keep_every", "10", "and every 10th epoch for good")
	}
	if n := p.count[layout.Best]; n > 0 {
		p.write("  best:\n")
		p.line(4, "keep", "1", fmt.Sprintf("of %d there are: the one that best/ shows", n))
	}
}

// space proposes limits where space may become short.
func (p *proposal) space(free int64) {
	const ample = 20 // saves
	size := max(p.largest.Size, 1)
	if more := free / size; more < ample {
		p.line(2, "max_total", formatSize(roundBytes(p.bytes+free/2)), fmt.Sprintf("what is there now and half of what is free, which is space for %s", plural(more, "more save")))
	}
	p.line(2, "min_free", formatSize(roundBytes(2*size)), fmt.Sprintf("two saves as large as %s; old checkpoints give way before a save does not fit", p.largest.Name))
}

// roundBytes rounds up to two digits, at least 1 MB.
func roundBytes(n int64) int64 {
	unit := int64(math.Pow(10, max(6, math.Floor(math.Log10(float64(max(n, 1))))-1)))
	return (n + unit - 1) / unit * unit
}

func (p *proposal) write(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

func (p *proposal) line(indent int, key, value, why string) {
	p.write("%-30s # %s\n", strings.Repeat(" ", indent)+key+": "+value, why)
}
