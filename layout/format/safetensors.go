package format

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"
)

// The limits of a safetensors header: what the format allows (MAX_HEADER_SIZE
// of safetensors/src/tensor.rs, bytes), and what is looked through here.
const (
	maxSafetensorsHeader = 100_000_000
	maxSafetensorsRead   = 32 << 20
)

// elementBits are the sizes of the dtypes, in bits: some are below a byte.
// Source: safetensors/src/tensor.rs, Dtype::bitsize.
var elementBits = map[string]uint64{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"U16": 16, "I16": 16, "F16": 16, "BF16": 16,
	"U32": 32, "I32": 32, "F32": 32,
	"U64": 64, "I64": 64, "F64": 64, "C64": 64,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

// readSafetensors judges a safetensors file: 8 bytes with the length of the
// header, the header in JSON, then the tensors without a gap up to the end.
//
// It never counts as proven. Writers since 0.8 set the length of the file
// before they write into it, and there is no checksum: a file that was given
// up half-way can be right in every byte that is looked at here.
func readSafetensors(r io.ReaderAt, size int64, res *Result) error {
	header, begin, err := safetensorsHeader(r, size)
	if err != nil {
		return err
	}
	if metadata, ok := header["__metadata__"].(map[string]any); ok {
		res.Scalars = metadata
	}
	delete(header, "__metadata__")
	return checkSpans(header, size-begin)
}

// safetensorsHeader reads the header; the tensors begin behind it.
func safetensorsHeader(r io.ReaderAt, size int64) (header map[string]any, begin int64, err error) {
	if size < 8 {
		return nil, 0, Damage("cut short: the length of its header is missing")
	}
	var b [8]byte
	if err := readAt(r, b[:], 0); err != nil {
		return nil, 0, err
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > maxSafetensorsHeader {
		return nil, 0, Damage(fmt.Sprintf("damaged: a header of %d bytes is declared, %d are allowed", n, maxSafetensorsHeader))
	}
	if int64(n) > size-8 {
		return nil, 0, Damage(fmt.Sprintf("cut short: its header has %d bytes, %d are there", n, size-8))
	}
	if n > maxSafetensorsRead {
		return nil, 0, errLimit
	}
	text := make([]byte, n)
	if err := readAt(r, text, 8); err != nil {
		return nil, 0, err
	}
	v, err := parseJSON(text)
	if err != nil {
		return nil, 0, err
	}
	if v == nil {
		return nil, 0, errLimit
	}
	header, ok := v.(map[string]any)
	if !ok {
		return nil, 0, Damage("damaged: its header is no JSON object")
	}
	return header, 8 + int64(n), nil
}

// A span is where the bytes of one tensor lie after the header.
type span struct {
	name       string
	begin, end int64
}

// checkSpans sees to it that the tensors fill exactly size bytes.
func checkSpans(header map[string]any, size int64) error {
	spans := make([]span, 0, len(header))
	for name, v := range header {
		s, ok := tensorSpan(name, v)
		if !ok {
			return Damage(fmt.Sprintf("damaged: the header does not say where tensor %q lies", name))
		}
		spans = append(spans, s)
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	var at int64
	for _, s := range spans {
		if s.begin != at {
			return Damage(fmt.Sprintf("damaged: tensor %q begins at %d instead of %d", s.name, s.begin, at))
		}
		at = s.end
	}
	switch {
	case at > size:
		return Damage(fmt.Sprintf("cut short: its tensors have %d bytes, %d are there", at, size))
	case at < size:
		return Damage(fmt.Sprintf("damaged: %d bytes follow its last tensor", size-at))
	}
	return nil
}

// tensorSpan reads one entry of the header. ok is false when it makes no
// sense, or when its shape and its span disagree.
func tensorSpan(name string, v any) (s span, ok bool) {
	entry, _ := v.(map[string]any)
	offsets, _ := entry["data_offsets"].([]any)
	shape, isList := entry["shape"].([]any)
	dtype, isText := entry["dtype"].(string)
	if len(offsets) != 2 || !isList || !isText {
		return s, false
	}
	begin, ok1 := offsets[0].(int64)
	end, ok2 := offsets[1].(int64)
	if !ok1 || !ok2 || begin < 0 || end < begin {
		return s, false
	}
	s = span{name: name, begin: begin, end: end}
	width, known := elementBits[dtype]
	if !known {
		return s, true // a dtype of tomorrow
	}
	want := width
	for _, d := range shape {
		n, isInt := d.(int64)
		hi, lo := bits.Mul64(want, uint64(n))
		if !isInt || n < 0 || hi != 0 {
			return s, false
		}
		want = lo
	}
	return s, want%8 == 0 && want/8 == uint64(end-begin)
}
