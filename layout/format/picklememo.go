package format

import "slices"

// A memo is what a pickle stores to refer to again: nearly everything, under
// numbers that count up. A list holds them; what is out of turn is kept aside.
type memo struct {
	inTurn []any
	aside  map[uint32]any
	passed int // numbers that were given to nothing worth keeping
}

func (m *memo) len() int { return len(m.inTurn) + len(m.aside) + m.passed }

func (m *memo) put(at uint32, v any) {
	switch n := uint32(len(m.inTurn)); {
	case at < n:
		m.inTurn[at] = v
	case at == n:
		delete(m.aside, at)
		if len(m.inTurn) == cap(m.inTurn) {
			m.inTurn = slices.Grow(m.inTurn, len(m.inTurn)+1) // doubled: the garbage stays below its size
		}
		m.inTurn = append(m.inTurn, v)
	default:
		if m.aside == nil {
			m.aside = map[uint32]any{}
		}
		m.aside[at] = v
	}
}

func (m *memo) pass() { m.passed++ }

func (m *memo) get(at uint32) (v any, ok bool) {
	if int64(at) < int64(len(m.inTurn)) {
		return m.inTurn[at], true
	}
	if v, ok = m.aside[at]; !ok && m.passed > 0 && int64(at) < int64(m.len()) {
		return Opaque{}, true
	}
	return v, ok
}
