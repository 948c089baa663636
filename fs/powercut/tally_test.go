package powercut

import (
	"slices"
	"testing"

	"ckptfs/testdata/figures"
)

// goes divides the cuts into goes of at most so many. There are two or more, for
// there are two kinds of durability.
func goes(cuts, most int) (sizes []int) {
	n := max(2, (cuts+most-1)/most)
	for i := range n {
		sizes = append(sizes, cuts*(i+1)/n-cuts*i/n)
	}
	return slices.DeleteFunc(sizes, func(size int) bool { return size == 0 })
}

// tally counts cuts, and those after which a promise was broken.
type tally struct {
	cuts, broken, control int
	again                 int // cuts during the recovery from another
	commits, pruned       int64
}

func (c *tally) add(t *testing.T, f *found) {
	t.Helper()
	c.cuts++
	if len(f.ckptfs) > 0 {
		c.broken++
		for _, complaint := range f.ckptfs {
			t.Logf("cut %d: %s", c.cuts, complaint)
		}
	}
	if len(f.control) > 0 {
		c.control++
	}
}

// report fails the test when a promise was broken, and when the control has
// lost nothing: then the harness would not have noticed.
func (c *tally) report(t *testing.T, subject string) {
	t.Helper()
	figures.Report(t, subject, "%d and %d during recovery, %d violations (without ckptfs %d), in %d commits and %d prunings",
		c.cuts, c.again, c.broken, c.control, c.commits, c.pruned)
	if c.broken > 0 {
		t.Errorf("after %d of %d cuts a promise was broken", c.broken, c.cuts+c.again)
	}
	if c.control == 0 {
		t.Error("trainers without ckptfs lost nothing: this proves nothing")
	}
}
