package format

import (
	"fmt"
	"math"
)

// A storage is the raw memory of one or more tensors, as a pickle names it:
// ('storage', torch.FloatStorage, '0', 'cpu', 32).
type storage struct {
	class string // e.g. "FloatStorage"; the module does not matter
	key   string
	numel int64 // elements
}

// elementSizes are the bytes per element of torch's storage classes. New
// dtypes have no class of their own, they come as UntypedStorage.
// Source: torch/storage.py, _dtype_to_storage_type_map.
var elementSizes = map[string]int64{
	"DoubleStorage":        8,
	"FloatStorage":         4,
	"HalfStorage":          2,
	"LongStorage":          8,
	"IntStorage":           4,
	"ShortStorage":         2,
	"CharStorage":          1,
	"ByteStorage":          1,
	"BoolStorage":          1,
	"BFloat16Storage":      2,
	"ComplexDoubleStorage": 16,
	"ComplexFloatStorage":  8,
	"QInt8Storage":         1,
	"QUInt8Storage":        1,
	"QInt32Storage":        4,
	"QUInt4x2Storage":      1,
	"QUInt2x4Storage":      1,
	"UntypedStorage":       1,
}

// bytes is the size of the storage; ok is false when it cannot be known.
func (s storage) bytes() (size, element int64, ok bool) {
	element, ok = elementSizes[s.class]
	if !ok || s.numel < 0 || s.numel > math.MaxInt64/element {
		return 0, 0, false
	}
	return s.numel * element, element, true
}

// check compares the storage with the record that holds it. An untyped memory
// may end with less than one element that the pickle's count leaves out.
func (s storage) check(rec *record) error {
	if rec == nil {
		return Damage(fmt.Sprintf("damaged: tensor data %q is not in the file", s.key))
	}
	if s.numel < 0 {
		return Damage(fmt.Sprintf("damaged: tensor data %q has a negative size", s.key))
	}
	want, element, ok := s.bytes()
	if ok && (rec.size < want || rec.size-want >= element) {
		return Damage(fmt.Sprintf("damaged: tensor data %q has %d bytes of %d", s.key, rec.size, want))
	}
	return nil
}
