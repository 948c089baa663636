package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/policy"
)

// planChart draws what saving, and what crashes undo, takes of an epoch, a line
// for each interval. It is plain characters: it looks the same in a log.
func planChart(p planned, width int) string {
	curve := p.curve()
	var most float64
	for _, s := range curve {
		most = max(most, overhead(s))
	}
	label := len("epoch")
	for _, s := range curve {
		label = max(label, len(every(s)))
	}
	const marks = len("  100.0 min  recommended")
	room := max(10, width-label-marks-2)

	var b strings.Builder
	if p.Job.MTBF > 0 {
		b.WriteString("Overhead per epoch by the interval: # saving, + what crashes undo\n")
	} else {
		b.WriteString("Overhead per epoch by the interval: # saving (with --mtbf, also what crashes undo)\n")
	}
	for _, s := range curve {
		total, saving := bar(overhead(s), most, room), bar(s.OverheadSeconds, most, room)
		mark := ""
		if s.SaveSteps == p.Recommended.SaveSteps {
			mark = "  recommended"
		}
		fmt.Fprintf(&b, "%*s  %s%s  %s%s\n", label, every(s), strings.Repeat("#", saving), strings.Repeat("+", max(0, total-saving)),
			policy.Span(overhead(s)), mark)
	}
	return b.String()
}

// curve are the intervals that are drawn.
func (p planned) curve() (all []policy.Strategy) {
	given := []int64{0}
	for _, s := range p.Strategies {
		if s.SaveSteps > 0 && s.SaveSteps < p.Job.BatchesPerEpoch {
			given = append(given, s.SaveSteps)
		}
	}
	for _, n := range p.Job.Curve(p.Recommended.SaveSteps, given) {
		all = append(all, p.Job.Plan(n))
	}
	return all
}

// overhead is what is known to come on top of an epoch's training, in seconds.
func overhead(s policy.Strategy) float64 {
	if s.ExpectedOverheadSeconds != nil {
		return *s.ExpectedOverheadSeconds
	}
	return s.OverheadSeconds
}

func every(s policy.Strategy) string {
	if s.SaveSteps == 0 {
		return "epoch"
	}
	return fmt.Sprint(s.SaveSteps)
}

// bar is the length of a part of the most, of so many characters.
func bar(part, most float64, room int) int {
	return int(math.Round(part / most * float64(room)))
}

// width is that of the terminal, and that of a page where there is none.
func width(out io.Writer) int {
	const page, least, wide = 80, 40, 120
	if !isTerminal(out) {
		return page
	}
	size, err := unix.IoctlGetWinsize(int(out.(*os.File).Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return page
	}
	return min(max(int(size.Col), least), wide)
}
