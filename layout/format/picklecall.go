package format

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"
)

// call is what the few constructors give that plain values are wrapped in.
// All others give something opaque.
func (m *machine) call(callee, args any) any {
	f, ok := callee.(global)
	if !ok {
		return Opaque{}
	}
	a, _ := args.(tuple)
	switch f.module + "." + f.name {
	case "collections.OrderedDict", "collections.defaultdict", "collections.Counter":
		if len(a) == 1 {
			if d, ok := a[0].(dict); ok {
				return d
			}
		}
		return m.newDict()
	case "_codecs.encode": // how protocol 2 writes bytes
		if len(a) == 2 && a[1] == any("latin1") {
			if s, ok := a[0].(string); ok {
				m.memory -= int64(len(s)) // a copy, which a few bytes can ask for
				return latin1(s)
			}
		}
	case "numpy.dtype":
		if len(a) > 0 {
			if code, ok := a[0].(string); ok {
				m.memory -= costContainer
				return &dtype{code: code}
			}
		}
	case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar":
		if len(a) == 2 {
			t, ok1 := a[0].(*dtype)
			b, ok2 := a[1].(rawBytes)
			if ok1 && ok2 {
				return t.scalar(string(b))
			}
		}
	case "torch._utils._rebuild_tensor_v3":
		m.count(a)
	case "torch._utils._rebuild_tensor_v2":
		m.count(a)
		if len(a) > 2 {
			s, ok1 := a[0].(storage)
			at, ok2 := a[1].(int64)
			shape, ok3 := a[2].(tuple)
			if ok1 && ok2 && ok3 && len(shape) == 0 {
				m.memory -= costContainer
				return scalarTensor{storage: s, at: at}
			}
		}
	}
	return Opaque{}
}

// setState is BUILD for the one object that needs it: the byte order of a
// numpy dtype is in its state. The attributes of a dict are no entries.
func (m *machine) setState(v, state any) {
	if m.seek != nil {
		m.seek.build(m, v, state)
		return
	}
	t, ok1 := v.(*dtype)
	s, ok2 := state.(tuple)
	if ok1 && ok2 && len(s) > 1 {
		t.big = s[1] == any(">")
	}
}

// latin1 turns text back into the bytes that it stands for.
func latin1(s string) any {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if r > 0xff || r == utf8.RuneError {
			return Opaque{}
		}
		b.WriteByte(byte(r))
	}
	return rawBytes(b.String())
}

// scalar decodes the bytes of a number of this type.
func (t *dtype) scalar(b string) any {
	code := strings.TrimLeft(t.code, "<>=|")
	big := t.big || strings.HasPrefix(t.code, ">")
	if len(code) != 2 || len(b) != int(code[1]-'0') || len(b) > 8 {
		return Opaque{}
	}
	var wide [8]byte
	copy(wide[:], b)
	v := binary.LittleEndian.Uint64(wide[:])
	if big {
		copy(wide[8-len(b):], b)
		clear(wide[:8-len(b)])
		v = binary.BigEndian.Uint64(wide[:])
	}
	shift := 64 - 8*len(b)
	switch {
	case code == "b1":
		return v != 0
	case code == "f8":
		return math.Float64frombits(v)
	case code == "f4":
		return float64(math.Float32frombits(uint32(v)))
	case code[0] == 'i':
		return int64(v<<shift) >> shift
	case code[0] == 'u' && v <= math.MaxInt64:
		return int64(v)
	}
	return Opaque{}
}
