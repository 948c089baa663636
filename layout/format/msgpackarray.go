package format

import (
	"encoding/binary"
	"strings"
)

// extension reads n bytes of a type of the application's. Flax has its arrays
// there: the shape, the name of the type and the bytes, in msgpack again.
func (p *msgpackParser) extension(n uint64) (any, error) {
	kind, err := p.in.byte()
	if err != nil {
		return nil, err
	}
	if n > maxScalarStorage || kind != 1 && kind != 3 {
		return Opaque{}, p.skip(n)
	}
	b, err := p.in.next(int(n))
	if err != nil {
		return nil, err
	}
	return arrayNumber(string(b)), nil
}

// arrayNumber is the number that an array without dimensions holds.
func arrayNumber(b string) any {
	b, ok := strings.CutPrefix(b, "\x93\x90") // three things, of which the shape is empty
	if !ok || len(b) < 1 || b[0]&0xe0 != 0xa0 || len(b) < 1+int(b[0]&31)+2 {
		return Opaque{}
	}
	name, data := b[1:1+b[0]&31], b[1+b[0]&31:]
	if data[0] != 0xc4 || int(data[1]) != len(data)-2 {
		return Opaque{}
	}
	data = data[2:]
	switch {
	case name == "float16" && len(data) == 2:
		return half(binary.LittleEndian.Uint16([]byte(data)))
	case name == "bfloat16" && len(data) == 2:
		return element("BFloat16Storage", uint64(binary.LittleEndian.Uint16([]byte(data))))
	}
	code, known := arrayCodes[name]
	if !known {
		return Opaque{}
	}
	return (&dtype{code: code}).scalar(data)
}

// arrayCodes are numpy's short names of its types.
var arrayCodes = map[string]string{
	"float64": "f8", "float32": "f4", "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1",
	"uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1", "bool": "b1",
}
