package format

import (
	"maps"
	"slices"
	"strings"
)

// The limits of what is kept of a file's metadata. Trainers keep what matters
// near the top, in small dicts, and append to their lists.
const (
	maxScalars    = 1 << 16 // values, in all
	maxDepth      = 16
	maxKeys       = 1 << 12 // of a dict below the top: a larger one holds parameters
	maxItems      = 1 << 10 // of a list: a longer one is a Tail
	maxText       = 1 << 20 // bytes, in all
	maxTensorRead = 16      // tensors of one number, in all
)

// plain copies the dict at the top of a pickle for the caller: a tree, without
// the shared and circular references that a pickle can hold. It goes breadth
// first, so that the limits cut off what is deep, and gives nil when the top
// is no dict or is too large itself. read gives the number that a tensor holds,
// or Opaque; without it all are Opaque.
func plain(top any, read func(scalarTensor) any) Scalars {
	d, ok := top.(dict)
	if !ok || len(d) >= maxScalars {
		return nil
	}
	out := &copier{left: maxScalars - 1 - len(d), text: maxText, read: read}
	if read != nil {
		out.tensors = maxTensorRead
	}
	result := make(map[string]any, len(d))
	out.fill(result, d, place{})
	for len(out.queue) > 0 {
		next := out.queue[0]
		out.queue = out.queue[1:]
		next()
	}
	return result
}

type copier struct {
	left    int // values that may still be copied
	text    int // bytes of text
	tensors int // that may still be read
	read    func(scalarTensor) any
	queue   []func() // containers that wait to be filled
}

// A place is where a value lies. What is of a parameter is not read from its
// tensor: there are as many of them as the model has layers.
type place struct {
	depth     int
	parameter bool
}

func (p place) below(key string) place {
	p.depth++
	p.parameter = p.parameter || ofParameter(key)
	return p
}

// ofParameter reports whether a key is how torch names parameters: by number in
// the state of an optimizer, as layer.0.weight in that of a model. A callback is
// called by what it was made with, which may have dots too, but never only those.
func ofParameter(key string) bool {
	const digits = "0123456789"
	const letters = digits + "_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return key != "" && (strings.Trim(key, digits) == "" || strings.Contains(key, ".") && strings.Trim(key, letters+".") == "")
}

// value copies v. A container is made at once and filled later.
func (c *copier) value(v any, at place) any {
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return v
	case string:
		if len(v) > c.text {
			return Opaque{}
		}
		c.text -= len(v)
		return v
	case scalarTensor:
		if at.parameter || c.tensors == 0 {
			return Opaque{}
		}
		c.tensors--
		return c.read(v)
	case dict:
		if len(v) > maxKeys || !c.reserve(len(v), at) {
			return Opaque{}
		}
		out := make(map[string]any, len(v))
		c.queue = append(c.queue, func() { c.fill(out, v, at) })
		return out
	case *list:
		return c.sequence(v.items, at)
	case tuple:
		return c.sequence(v, at)
	}
	return Opaque{}
}

func (c *copier) fill(out map[string]any, d dict, at place) {
	for _, key := range slices.Sorted(maps.Keys(d)) { // the same on every run
		out[key] = c.value(d[key], at.below(key))
	}
}

func (c *copier) sequence(items []any, at place) any {
	dropped := max(0, len(items)-maxItems)
	items = items[dropped:]
	if !c.reserve(len(items), at) {
		return Opaque{}
	}
	at.depth++
	out := make([]any, len(items))
	c.queue = append(c.queue, func() {
		for i, v := range items {
			out[i] = c.value(v, at)
		}
	})
	if dropped > 0 {
		return Tail{Dropped: dropped, Items: out}
	}
	return out
}

// reserve counts a container and its n values.
func (c *copier) reserve(n int, at place) bool {
	if at.depth > maxDepth || n >= c.left {
		return false
	}
	c.left -= n + 1
	return true
}
