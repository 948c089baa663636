package format

import (
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Scalars are the plain values of a file's metadata: nil, bool, int64, float64
// and string, in []any and map[string]any. What is no plain value (a tensor, an
// object) is Opaque, a list too long to keep is a Tail.
type Scalars map[string]any

// Opaque stands in Scalars for a value that is there but cannot be told
// without executing code, or that is too large to keep.
type Opaque struct{}

// A Tail is the end of a list that was too long to keep.
type Tail struct {
	Dropped int // items that came before
	Items   []any
}

// Get finds the value that a path names, such as "epoch", "meta.iter",
// "optimizer_history[-1].num_updates" or "callbacks.*.best_model_score". Where
// several match, it is the first of All that says something: neither nil nor
// Opaque.
func (s Scalars) Get(pattern string) (value any, ok bool) {
	for _, v := range s.All(pattern) {
		if v != nil && v != any(Opaque{}) {
			return v, true
		}
		if !ok {
			value, ok = v, true
		}
	}
	return value, ok
}

// All are the values that a pattern matches, each with its own path. The
// elements of a pattern are separated by dots; a star in one stands for any
// text, and alone for any key or item. [2] is an item of a list, [-1] the last
// one, [] or [*] each of them. A key that has dots itself is matched by the
// pattern as it is, or by a star.
//
// The order is the same each time: keys are sorted, lists go from the last item
// to the first, because trainers append to them.
func (s Scalars) All(pattern string) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		match(map[string]any(s), pattern, "", yield)
	}
}

// match yields what pattern matches below v, which lies at path. It is false
// when the caller has seen enough.
func match(v any, pattern, path string, yield func(string, any) bool) bool {
	switch v := v.(type) {
	case map[string]any:
		return matchKeys(v, pattern, path, yield)
	case []any:
		return matchItems(Tail{Items: v}, pattern, path, yield)
	case Tail:
		return matchItems(v, pattern, path, yield)
	}
	return true
}

func matchKeys(m map[string]any, pattern, path string, yield func(string, any) bool) bool {
	if v, ok := m[pattern]; ok {
		return yield(join(path, pattern), v)
	}
	element, rest := pattern, ""
	if i := strings.IndexAny(pattern, ".["); i >= 0 {
		element, rest = pattern[:i], pattern[i:]
	}
	if !strings.Contains(element, "*") {
		v, ok := m[element]
		return !ok || descend(v, rest, join(path, element), yield)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if glob(element, key) && !descend(m[key], rest, join(path, key), yield) {
			return false
		}
	}
	return true
}

// matchItems matches a pattern that begins with an index, or with a star that
// stands for it.
func matchItems(list Tail, pattern, path string, yield func(string, any) bool) bool {
	index, rest := "", ""
	if inner, ok := strings.CutPrefix(pattern, "["); ok {
		if index, rest, ok = strings.Cut(inner, "]"); !ok {
			return true
		}
	} else if pattern == "*" || strings.HasPrefix(pattern, "*.") || strings.HasPrefix(pattern, "*[") {
		rest = pattern[1:]
	} else {
		return true
	}
	all := index == "" || index == "*"
	n, err := strconv.Atoi(index)
	if err != nil && !all {
		return true
	}
	if n < 0 {
		n += list.Dropped + len(list.Items)
	}
	for i, v := range slices.Backward(list.Items) {
		at := list.Dropped + i
		if (all || at == n) && !descend(v, rest, path+"["+strconv.Itoa(at)+"]", yield) {
			return false
		}
	}
	return true
}

// descend goes on with what follows an element: nothing, an index, or a dot and
// another element.
func descend(v any, rest, path string, yield func(string, any) bool) bool {
	if rest == "" {
		return yield(path, v)
	}
	return match(v, strings.TrimPrefix(rest, "."), path, yield)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// glob reports whether text is what pattern says, where a star stands for any
// text.
func glob(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(text, rest)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], more
	}
}
