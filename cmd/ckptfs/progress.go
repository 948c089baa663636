package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progressBar is one line on a terminal that says how far a long step is, how fast
// it goes, and when it will be done. On anything else it is silent.
type progressBar struct {
	out   io.Writer
	what  string
	begun time.Time
	shown time.Time
	drawn bool
}

func newProgress(out io.Writer, what string) *progressBar {
	p := &progressBar{what: what, begun: time.Now()}
	if isTerminal(out) {
		p.out = out
	}
	return p
}

// redraw is how often the line is drawn.
const redraw = 100 * time.Millisecond

// at says how many bytes of how many are done.
func (p *progressBar) at(done, total int64) {
	now := time.Now()
	if p.out == nil || now.Sub(p.shown) < redraw {
		return
	}
	p.shown, p.drawn = now, true
	fmt.Fprintf(p.out, "\r\x1b[K%s", p.line(done, total, now.Sub(p.begun), width(p.out)))
}

// line is what it shows, no longer than the terminal is wide.
func (p *progressBar) line(done, total int64, since time.Duration, width int) string {
	share := 1.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	said := fmt.Sprintf(" %3.0f %%  %s of %s", share*100, size(done), size(total))
	if since >= time.Second && done > 0 {
		rate := float64(done) / since.Seconds()
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		said += fmt.Sprintf("  %s/s  %s left", size(int64(rate)), max(0, left).Round(time.Second))
	}
	room := width - len(p.what) - len(said) - 4
	if room < 10 {
		return p.what + said
	}
	full := bar(share, 1, room)
	return fmt.Sprintf("%s [%s%s]%s", p.what, strings.Repeat("#", full), strings.Repeat(" ", room-full), said)
}

// clear takes the line away.
func (p *progressBar) clear() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}
