package format

import (
	"encoding/binary"
	"io"
	"math"
)

// maxScalarStorage bounds the storage that a single number is read from. One
// element of a large one is a view into weights.
const maxScalarStorage = 64

// A scalarTensor is a tensor without dimensions: one element of a storage.
// Counters and scores are often kept so.
type scalarTensor struct {
	storage storage
	at      int64 // which element
}

// number reads the element from the record that holds the storage, or gives
// Opaque. The record order names the byte order; before torch 2.1 there is none,
// and it is little.
func (t scalarTensor) number(r io.ReaderAt, rec, order *record) (any, error) {
	_, width, known := t.storage.bytes()
	if !known || rec == nil || rec.method != methodStored || rec.size > maxScalarStorage || width > 8 ||
		t.at < 0 || t.at >= rec.size/width {
		return Opaque{}, nil
	}
	if order != nil {
		name := make([]byte, min(order.size, 8))
		if err := readAt(r, name, order.data); err != nil {
			return nil, err
		}
		if string(name) != "little" || order.method != methodStored {
			return Opaque{}, nil
		}
	}
	var b [8]byte
	if err := readAt(r, b[:width], rec.data+t.at*width); err != nil {
		return nil, err
	}
	return element(t.storage.class, binary.LittleEndian.Uint64(b[:])), nil
}

// element is the number whose bytes are v, in a storage of this class.
func element(class string, v uint64) any {
	switch class {
	case "DoubleStorage":
		return math.Float64frombits(v)
	case "FloatStorage":
		return float64(math.Float32frombits(uint32(v)))
	case "BFloat16Storage":
		return float64(math.Float32frombits(uint32(v) << 16))
	case "HalfStorage":
		return half(uint16(v))
	case "LongStorage":
		return int64(v)
	case "IntStorage":
		return int64(int32(v))
	case "ShortStorage":
		return int64(int16(v))
	case "CharStorage":
		return int64(int8(v))
	case "ByteStorage":
		return int64(v)
	case "BoolStorage":
		return v != 0
	}
	return Opaque{}
}

// half is the value of an IEEE 754 number of 16 bits.
func half(v uint16) float64 {
	sign, exponent, fraction := v>>15, int(v>>10&31), float64(v&1023)
	f := math.Ldexp(1+fraction/1024, exponent-15)
	switch {
	case exponent == 0:
		f = math.Ldexp(fraction/1024, -14)
	case exponent == 31 && fraction == 0:
		f = math.Inf(1)
	case exponent == 31:
		f = math.NaN()
	}
	if sign == 1 {
		return -f
	}
	return f
}
