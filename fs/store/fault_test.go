package store

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// Each call to the disk that a save and its commit make fails once, in turn (P7,
// P2): the trainer hears of it where it is his call, nothing torn is shown, what
// was there before stays, the next save works, and what the store believes is
// what lies on the disk.
func TestFaultAtEveryCall(t *testing.T) {
	type faults struct {
		pattern pattern
		err     error
		way     way
	}
	var cases []faults
	for _, pattern := range allPatterns() {
		for _, w := range ways {
			if w.name == "exchange" || pattern.shows(w) {
				cases = append(cases, faults{pattern, unix.EIO, w})
			}
		}
	}
	overwrite := patterns[1]
	for _, err := range []error{unix.ENOSPC, errShort, unix.EDQUOT, unix.EROFS, unix.EINTR} {
		cases = append(cases, faults{overwrite, err, ways[0]})
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s, %v, %s", c.pattern.name, c.err, c.way.name), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, t.TempDir())
				b.on(c.way)
				b.use(c.pattern)
				b.start()
				defer b.stop()
				b.seed(map[string]content{c.pattern.spare(): {"spare", 1, 1}, c.pattern.last(): {"0", 1, 0}})
				for n, through := 0, false; !through && !t.Failed(); n++ {
					through = b.faultAt(n, c.err, c.pattern)
				}
			})
		})
	}
}

// faultAt is one round: a save of which the n-th call fails, and one that goes
// through. It reports whether the first needed no more than n.
func (b *bench) faultAt(n int, fault error, pattern pattern) (through bool) {
	b.t.Helper()
	before, err := b.view("latest")
	b.must(err)
	c := content{fmt.Sprintf("%d-hurt", n), byte(2 + n), 1}
	p := b.process()
	b.disk.failAt(n, fault)
	err = pattern.save(p, c)
	b.settle()
	calls := b.disk.made()
	b.disk.choose(nil)
	through = len(calls) <= n
	call := "none"
	if !through {
		call = calls[n]
	}
	when := fmt.Sprintf("call %d failed, %s", n, call)
	switch {
	case err == nil:
		p.exit(0)
	case !errors.Is(err, errnoOf(fault)):
		b.t.Errorf("%s: the trainer hears %v, not %v", when, err, fault)
		fallthrough
	default:
		p.exit(1)
	}
	allowed := []string{before, c.token}
	if pattern.gap {
		allowed = append(allowed, "spare")
	}
	b.sane(when, allowed)
	next := content{fmt.Sprintf("%d-next", n), byte(2 + n), 2}
	p = b.process()
	if err := pattern.save(p, next); err != nil {
		b.t.Errorf("%s: the next save: %v", when, err)
	}
	b.settle()
	b.sane(when+", saved again", []string{next.token})
	tokens := b.tokens()
	b.restart()
	b.sameTokens(when+", mounted again", tokens)
	if pattern.target(next) != pattern.last() {
		p = b.process()
		b.must(p.removeAll(pattern.target(c)))
		b.must(p.removeAll(pattern.target(next)))
	}
	b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
	if b.t.Failed() {
		b.t.Logf("the save's calls:\n%s", numberedLines(calls))
	}
	return through
}

// errnoOf is what a trainer hears of a fault.
func errnoOf(fault error) (errno unix.Errno) {
	errors.As(fault, &errno)
	return errno
}
