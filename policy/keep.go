package policy

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// keepRule says whether it keeps the checkpoint at a place in the list of
// candidates, newest first, and gives the reason for either answer.
type keepRule func(place int, c Checkpoint) (keep bool, reason string)

// keepRules are the keep rules of r that are set; section is their place in
// the configuration, for the reasons.
func (r Rule) keepRules(section string, newest []Checkpoint) []keepRule {
	var rules []keepRule
	if r.KeepLast != nil {
		key := section + ".keep_last"
		if section == "best" {
			key = section + ".keep"
		}
		rules = append(rules, keepLast(*r.KeepLast, key))
	}
	if r.KeepEvery > 0 {
		rules = append(rules, keepEvery(int64(r.KeepEvery), section+".keep_every"))
	}
	if r.KeepEverySteps > 0 {
		rules = append(rules, keepEverySteps(r.KeepEverySteps, section+".keep_every_steps", newest))
	}
	return rules
}

func keepLast(n int, key string) keepRule {
	in, out := fmt.Sprintf("among the %d newest", n), fmt.Sprintf("not among the %d newest", n)
	switch {
	case n <= 0:
		out = "none is kept"
	case n == 1:
		in, out = "the newest", "not the newest"
	}
	in, out = fmt.Sprintf("%s (%s: %d)", in, key, n), fmt.Sprintf("%s (%s: %d)", out, key, n)
	return func(place int, _ Checkpoint) (bool, string) {
		if place < n {
			return true, in
		}
		return false, out
	}
}

func keepEvery(n int64, key string) keepRule {
	return func(_ int, c Checkpoint) (bool, string) {
		switch {
		case c.Epoch == nil:
			return true, fmt.Sprintf("its epoch is unknown (%s)", key)
		case *c.Epoch%n != 0:
			return false, fmt.Sprintf("epoch %d is no multiple of %d (%s)", *c.Epoch, n, key)
		}
		return true, fmt.Sprintf("epoch %d is a multiple of %d (%s)", *c.Epoch, n, key)
	}
}

// keepEverySteps keeps the first checkpoint at or after each multiple of n.
// Trainers that count steps within an epoch rarely hit a multiple exactly; the
// first one, unlike the nearest, stays the same when later ones arrive or
// others are pruned.
func keepEverySteps(n int64, key string, newest []Checkpoint) keepRule {
	first := map[int64]int64{} // multiple → the least global step from there on
	for _, c := range newest {
		if c.GlobalStep == nil || *c.GlobalStep < n {
			continue
		}
		multiple := *c.GlobalStep / n * n
		if step, seen := first[multiple]; !seen || *c.GlobalStep < step {
			first[multiple] = *c.GlobalStep
		}
	}
	return func(_ int, c Checkpoint) (bool, string) {
		if c.GlobalStep == nil {
			return true, fmt.Sprintf("its global step is unknown (%s)", key)
		}
		multiple := *c.GlobalStep / n * n
		if step, seen := first[multiple]; !seen || *c.GlobalStep != step {
			return false, fmt.Sprintf("not the first of its %s steps (%s)", humanize.Comma(n), key)
		}
		return true, fmt.Sprintf("the first from step %s on (%s)", humanize.Comma(multiple), key)
	}
}
