package format

import (
	"maps"
	"slices"
)

// The limits of what plain copies. Trainers keep what matters near the top.
const (
	maxScalars = 1 << 16
	maxDepth   = 16
)

// plain copies the dict at the top of a pickle for the caller: a tree, without
// the shared and circular references that a pickle can hold. It goes breadth
// first, so that the limits cut off what is deep, and gives nil when the top
// is no dict or is too large itself.
func plain(top any) Scalars {
	d, ok := top.(dict)
	if !ok {
		return nil
	}
	out := &copier{left: maxScalars}
	if result, ok := out.value(d, 0).(map[string]any); ok {
		out.run()
		return result
	}
	return nil
}

type copier struct {
	left  int      // values that may still be copied
	queue []func() // containers that wait to be filled
}

func (c *copier) run() {
	for len(c.queue) > 0 {
		fill := c.queue[0]
		c.queue = c.queue[1:]
		fill()
	}
}

// value copies v. A container is made at once and filled later.
func (c *copier) value(v any, depth int) any {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v
	case dict:
		if !c.reserve(len(v), depth) {
			return Opaque{}
		}
		out := make(map[string]any, len(v))
		c.queue = append(c.queue, func() {
			for _, key := range slices.Sorted(maps.Keys(v)) { // the same on every run
				out[key] = c.value(v[key], depth+1)
			}
		})
		return out
	case *list:
		return c.sequence(v.items, depth)
	case tuple:
		return c.sequence(v, depth)
	}
	return Opaque{}
}

func (c *copier) sequence(items []any, depth int) any {
	if !c.reserve(len(items), depth) {
		return Opaque{}
	}
	out := make([]any, len(items))
	c.queue = append(c.queue, func() {
		for i, v := range items {
			out[i] = c.value(v, depth+1)
		}
	})
	return out
}

// reserve counts a container and its n values.
func (c *copier) reserve(n, depth int) bool {
	if depth > maxDepth || n >= c.left {
		return false
	}
	c.left -= n + 1
	return true
}
