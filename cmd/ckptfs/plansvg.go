package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"

	"ckptfs/policy"
)

// The chart in SVG, in points: where the curves lie in it.
const (
	svgWidth, svgHeight       = 720, 420
	svgLeft, svgRight         = 70, 690
	svgTop, svgBottom         = 50, 350
	svgPoints                 = 160 // of a curve
	svgSaving, svgTotal, svgX = "#c0392b", "#1f4e79", "#555"
)

// planSVG draws the same as planChart, as curves over the interval, which is on a
// logarithmic scale.
func planSVG(p planned) []byte {
	a := newAxes(p)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		svgWidth, svgHeight, svgWidth, svgHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", svgWidth, svgHeight)
	title := fmt.Sprintf("Overhead of an epoch of %s, %s a save", countBatches(p.Job.BatchesPerEpoch), policy.Span(p.Job.SaveSeconds))
	if p.Job.MTBF > 0 {
		title += ", a failure every " + policy.Span(p.Job.MTBF.Seconds())
	}
	text(&b, svgLeft, 24, "start", "#000", title)
	a.grid(&b)
	saving := func(s policy.Strategy) float64 { return s.OverheadSeconds }
	a.line(&b, svgSaving, saving)
	text(&b, svgRight, svgTop-8, "end", svgSaving, "saving")
	if p.Job.MTBF > 0 {
		a.line(&b, svgTotal, overhead)
		text(&b, svgRight-60, svgTop-8, "end", svgTotal, "with what crashes undo")
	}
	for _, s := range p.Strategies {
		x, y := a.x(a.batches(s.SaveSteps)), a.y(overhead(s))
		if x < svgLeft || y < svgTop {
			continue // off the scale
		}
		fill := "white"
		if s.SaveSteps == p.Recommended.SaveSteps {
			fill = "#000"
			text(&b, x, y-10, "middle", "#000", "recommended")
		}
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s" stroke="#000"><title>save_steps %d: %s</title></circle>`+"\n",
			x, y, fill, s.SaveSteps, policy.Span(overhead(s)))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// axes map an interval in batches, and seconds, to where they are drawn.
type axes struct {
	job         policy.Job
	least, most float64 // batches
	top         float64 // seconds
}

func newAxes(p planned) axes {
	curve := p.curve()
	a := axes{job: p.Job, most: max(2, float64(p.Job.BatchesPerEpoch))}
	a.least = min(a.batches(curve[0].SaveSteps), a.most/2)
	for _, s := range curve {
		a.top = max(a.top, overhead(s)*1.05)
	}
	return a
}

// batches is an interval; an epoch where only its end is saved.
func (a axes) batches(saveSteps int64) float64 {
	if saveSteps == 0 {
		return a.most
	}
	return min(float64(saveSteps), a.most)
}

func (a axes) x(batches float64) float64 {
	return svgLeft + (svgRight-svgLeft)*math.Log(batches/a.least)/math.Log(a.most/a.least)
}

func (a axes) y(seconds float64) float64 {
	return svgBottom - (svgBottom-svgTop)*seconds/a.top
}

// line draws one curve.
func (a axes) line(b *bytes.Buffer, colour string, of func(policy.Strategy) float64) {
	var points []string
	for i := range svgPoints + 1 {
		batches := a.least * math.Pow(a.most/a.least, float64(i)/svgPoints)
		s := a.job.Plan(max(1, int64(math.Round(batches))))
		points = append(points, fmt.Sprintf("%.1f,%.1f", a.x(batches), a.y(min(of(s), a.top))))
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colour, strings.Join(points, " "))
}

// grid draws the axes, with what they count.
func (a axes) grid(b *bytes.Buffer) {
	for i := range 5 {
		seconds := a.top * float64(i) / 4
		y := a.y(seconds)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", svgLeft, y, svgRight, y)
		text(b, svgLeft-8, y+4, "end", svgX, policy.Span(seconds))
	}
	for i := range 6 {
		batches := a.least * math.Pow(a.most/a.least, float64(i)/5)
		text(b, a.x(batches), svgBottom+20, "middle", svgX, fmt.Sprintf("%.0f", batches))
	}
	text(b, (svgLeft+svgRight)/2, svgBottom+45, "middle", svgX, "steps from save to save (logarithmic); the last is an epoch")
}

func text(b *bytes.Buffer, x, y float64, anchor, colour, what string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colour, html.EscapeString(what))
}
