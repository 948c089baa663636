package format

import (
	"encoding/binary"
	"io"
	"math"
)

// The limits of a msgpack file. Models nest some ten deep.
const (
	maxMsgpackValues = 32 << 20
	maxMsgpackDepth  = 512
)

// readMsgpack judges a file of Flax: one map, in which arrays are extensions.
// It is written from front to end, so that what reads up to the last byte is
// whole. Numbers that are arrays without dimensions are numbers.
//
// Source: msgpack's spec.md; flax/serialization.py.
func readMsgpack(r io.ReaderAt, size int64, res *Result) error {
	p := &msgpackParser{in: newCursor(r, 0, size), kept: maxScalars, text: maxText, topText: maxText}
	top, err := p.value(0)
	if err != nil {
		return err
	}
	if m, ok := top.(map[string]any); ok {
		res.Scalars = m
	}
	res.Proven = p.in.rest() == 0
	return nil
}

// beginsAsMsgpack reports whether a file begins with a map that is not empty.
func beginsAsMsgpack(head []byte) bool {
	return len(head) > 0 && (head[0] > 0x80 && head[0] < 0x90 || head[0] == 0xde || head[0] == 0xdf)
}

type msgpackParser struct {
	in     *cursor
	values int // that were read
	kept   int // values that may still be kept below the top
	text   int // bytes of text that may still be kept below the top

	topText int // at the top, which has a budget of its own as what is deep comes first
}

// value reads one value. A container that is too large to keep is read, but
// gives Opaque.
func (p *msgpackParser) value(depth int) (any, error) {
	if p.values++; p.values > maxMsgpackValues || depth > maxMsgpackDepth {
		return nil, errLimit
	}
	op, err := p.in.byte()
	if err != nil {
		return nil, err
	}
	switch {
	case op < 0x80, op >= 0xe0:
		return int64(int8(op)), nil
	case op < 0x90:
		return p.object(uint64(op&15), depth)
	case op < 0xa0:
		return p.array(uint64(op&15), depth)
	case op < 0xc0:
		return p.string(uint64(op&31), depth)
	}
	switch op {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return op == 0xc3, nil
	case 0xca:
		v, err := p.uint(4)
		return float64(math.Float32frombits(uint32(v))), err
	case 0xcb:
		v, err := p.uint(8)
		return math.Float64frombits(v), err
	case 0xcc, 0xcd, 0xce, 0xcf:
		v, err := p.uint(1 << (op - 0xcc))
		if v > math.MaxInt64 {
			return Opaque{}, err
		}
		return int64(v), err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		width := 1 << (op - 0xd0)
		v, err := p.uint(width)
		shift := 64 - 8*width
		return int64(v<<shift) >> shift, err
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return p.extension(1 << (op - 0xd4))
	case 0xc1:
		return nil, Damage("damaged: bad msgpack (a byte that is never used)")
	}
	return p.counted(op, depth)
}

// counted reads what has a length of its own: of 1, 2 or 4 bytes.
func (p *msgpackParser) counted(op byte, depth int) (any, error) {
	first, width := op, 1
	switch {
	case op <= 0xc6: // bin
		first = 0xc4
	case op <= 0xc9: // ext
		first = 0xc7
	case op <= 0xdb: // str
		first = 0xd9
	case op <= 0xdd: // array
		first, width = 0xdc, 2
	default: // map
		first, width = 0xde, 2
	}
	n, err := p.uint(width << (op - first))
	if err != nil {
		return nil, err
	}
	switch first {
	case 0xc4:
		return Opaque{}, p.skip(n)
	case 0xc7:
		return p.extension(n)
	case 0xd9:
		return p.string(n, depth)
	case 0xdc:
		return p.array(n, depth)
	}
	return p.object(n, depth)
}

func (p *msgpackParser) object(n uint64, depth int) (any, error) {
	if n > uint64(p.in.rest())/2 {
		return nil, p.in.short(int64(min(2*n, math.MaxInt64)))
	}
	var out map[string]any
	if depth == 0 && n < maxScalars || p.keep(n, depth) {
		out = make(map[string]any, n)
	}
	for range n {
		key, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if name, ok := keyText(key); ok && out != nil {
			out[name] = v
		}
	}
	if out == nil {
		return Opaque{}, nil
	}
	return out, nil
}

func (p *msgpackParser) array(n uint64, depth int) (any, error) {
	if n > uint64(p.in.rest()) {
		return nil, p.in.short(int64(n))
	}
	var out []any
	kept := n <= maxItems && p.keep(n, depth)
	if kept {
		out = make([]any, 0, n)
	}
	for range n {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if kept {
			out = append(out, v)
		}
	}
	if !kept {
		return Opaque{}, nil
	}
	return out, nil
}

// keep counts a container and its n values. Those of the top are not counted,
// so that what is deep cannot use up what they need.
func (p *msgpackParser) keep(n uint64, depth int) bool {
	if depth > maxDepth || n > maxKeys || int(n) >= p.kept {
		return false
	}
	p.kept -= int(n) + 1
	return true
}

func (p *msgpackParser) string(n uint64, depth int) (any, error) {
	left := &p.text
	if depth <= 1 {
		left = &p.topText
	}
	if n > maxPickleString || int(n) > *left {
		return Opaque{}, p.skip(n)
	}
	b, err := p.in.next(int(n))
	if err != nil {
		return nil, err
	}
	*left -= int(n)
	return string(b), nil
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (p *msgpackParser) uint(width int) (uint64, error) {
	b, err := p.in.next(width)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[8-width:], b)
	return binary.BigEndian.Uint64(wide[:]), nil
}

func (p *msgpackParser) skip(n uint64) error { return p.in.skip(int64(min(n, math.MaxInt64))) }
