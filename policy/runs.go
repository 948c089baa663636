package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"ckptfs/layout"
)

// RunConfig is what the configuration says of some runs only.
type RunConfig struct {
	Runs   string   // which: a pattern of their paths below the mounted directory, "." for that itself
	Keys   []string // what is said, as paths such as retention.max_total; sorted
	Values Config   // the values of Keys; the rest of it means nothing
}

// For is the configuration of one run: what is said of it holds instead of what
// is said of all, the later of two entries that match instead of the earlier. What
// the user leaves open is as the trainer has it, if l, which may be nil, is its
// layout.
func (c Config) For(run string, l *layout.Layout) Config {
	for _, entry := range c.Runs {
		if ok, err := doublestar.Match(entry.Runs, run); !ok || err != nil {
			continue
		}
		for _, path := range entry.Keys {
			if k, ok := perRun.at(path); ok {
				k.value.copy(&c, &entry.Values)
			}
		}
	}
	if l != nil && l.Best.Metric != "" {
		c.Best.Usual = &BestPolicy{Metric: l.Best.Metric, Mode: ModeMax}
		if l.Best.Lowest {
			c.Best.Usual.Mode = ModeMin
		}
	}
	return c
}

// perRun are the keys that may differ from run to run.
var perRun = func() key {
	var those func(keys []key) []key
	those = func(keys []key) (some []key) {
		for _, k := range keys {
			if k.global {
				continue
			}
			k.keys = those(k.keys)
			some = append(some, k)
		}
		return some
	}
	var sections []key
	for _, k := range root.keys {
		switch k.name {
		case "resume", "best", "retention":
			sections = append(sections, k)
		}
	}
	return key{keys: those(sections)}
}()

// at finds the leaf at a path.
func (k key) at(path string) (key, bool) {
	for name := range strings.SplitSeq(path, ".") {
		sub, ok := k.find(name)
		if !ok {
			return key{}, false
		}
		k = sub
	}
	return k, k.value.copy != nil
}

// renderRuns writes what differs from run to run, with the keys that are set only.
func (k key) renderRuns(b *bytes.Buffer, runs []RunConfig) {
	fmt.Fprintf(b, "# %s\n%s:\n", k.doc, k.name)
	for _, entry := range runs {
		fmt.Fprintf(b, "  %s:\n", quote(entry.Runs))
		perRun.renderSome(b, &entry, "", "    ")
	}
}

func (k key) renderSome(b *bytes.Buffer, entry *RunConfig, path, indent string) {
	for _, sub := range k.keys {
		full := strings.TrimPrefix(path+"."+sub.name, ".")
		switch {
		case sub.keys == nil && slices.Contains(entry.Keys, full):
			line := sub.value.format(&entry.Values)
			if line == "" { // a limit that is lifted
				line = "0"
			}
			fmt.Fprintf(b, "%s%s: %s\n", indent, sub.name, line)
		case slices.ContainsFunc(entry.Keys, func(key string) bool { return strings.HasPrefix(key, full+".") }):
			fmt.Fprintf(b, "%s%s:\n", indent, sub.name)
			sub.renderSome(b, entry, full, indent+"  ")
		}
	}
}
