package store

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
)

// The daemon crashes after each call to the disk that a save makes, in turn, for
// every pattern (P1, P2, P4). What is there after the next mount is whole, not
// older than what was there before, the same after yet another mount, and the
// trainer's next save works.
func TestCrashAfterEveryCall(t *testing.T) {
	afterEveryCall(t, func(b *bench, _ int) { b.restart() })
}

// The same for the machine: whatever was not synced is torn, each time in
// another way.
func TestPowerCutAfterEveryCall(t *testing.T) {
	afterEveryCall(t, func(b *bench, n int) {
		b.crash()
		b.must(b.tearUnsynced([]tear{cutInHalf, emptied, zeroed}[n%3]))
		b.boot = fmt.Sprint("boot ", n)
		b.start()
	})
}

func afterEveryCall(t *testing.T, down func(b *bench, n int)) {
	for _, pattern := range allPatterns() {
		for _, w := range ways {
			if w.name != "exchange" && !pattern.shows(w) {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", pattern.name, w.name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, t.TempDir())
					b.on(w)
					b.use(pattern)
					b.start()
					defer b.stop()
					b.seed(map[string]content{pattern.spare(): {"spare", 1, 1}, pattern.last(): {"0", 1, 0}})
					for n, through := 0, false; !through && !t.Failed(); n++ {
						through = b.crashAfter(n, pattern, func() { down(b, n) })
					}
				})
			})
		}
	}
}

// crashAfter is one round: a save with a crash after n calls, and a save that
// goes through. It reports whether the first save needed no more than n.
func (b *bench) crashAfter(n int, pattern pattern, down func()) (through bool) {
	b.t.Helper()
	before, err := b.view("latest")
	b.must(err)
	c := content{fmt.Sprintf("%d-torn", n), byte(2 + n), 1}
	p := b.process()
	b.disk.stopAfter(n)
	err = pattern.save(p, c)
	if err == nil {
		b.settle()
	}
	calls := b.disk.made()
	through = len(calls) <= n
	shown, _ := b.view("latest") // what a dead daemon says counts only when it is whole
	if through && shown != c.token {
		b.t.Errorf("nothing failed, but latest/ shows %q", shown)
	}
	down()
	p.die()

	call := "the end"
	if !through {
		call = calls[n]
	}
	when := fmt.Sprintf("crashed before call %d, %s", n, call)
	allowed := []string{before, c.token}
	if shown == c.token {
		allowed = allowed[1:] // what a view has shown stays
	}
	if pattern.gap {
		allowed = append(allowed, "spare")
	}
	b.sane(when+", mounted again", allowed)
	if n%2 == 0 {
		b.settle()
		b.sane(when+", settled", allowed)
	}
	tokens := b.tokens()
	b.restart() // a recovery that comes twice changes nothing
	b.sameTokens(when+", mounted once more", tokens)

	next := content{fmt.Sprintf("%d-next", n), byte(2 + n), 2}
	p = b.process()
	b.must(pattern.save(p, next))
	b.settle()
	b.sane(when+", saved again", []string{next.token})
	if pattern.target(next) != pattern.last() {
		b.must(p.removeAll(pattern.target(c)))
		b.must(p.removeAll(pattern.target(next)))
	}
	b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
	if b.t.Failed() {
		b.t.Logf("the save's calls:\n%s", numberedLines(calls))
	}
	return through
}

// sane checks the promises, and what latest/ shows.
func (b *bench) sane(when string, allowed []string) {
	b.t.Helper()
	b.check(when)
	if token, err := b.view("latest"); err != nil || !slices.Contains(allowed, token) {
		b.t.Errorf("%s: latest/ shows %q, %v, want one of %q", when, token, err, allowed)
	}
}

func numberedLines(lines []string) (out string) {
	for i, l := range lines {
		out += fmt.Sprintf("%4d %s\n", i, l)
	}
	return out
}
