package format

import "math"

// A tally counts tensors while a pickle is scanned.
type tally struct {
	seen map[extent]struct{}
	all  Tensors
}

// An extent of a storage is what a tensor shows. Weights that are tied show the same.
type extent struct {
	storage  string
	at       int64
	elements int64
}

// count notes a tensor that is put together from a storage, where it begins in
// it, and its shape; the third version also says its dtype.
func (m *machine) count(args tuple) {
	if m.tensors == nil || len(args) < 3 {
		return
	}
	s, ok1 := args[0].(storage)
	at, ok2 := args[1].(int64)
	shape, ok3 := args[2].(tuple)
	elements, ok4 := product(shape)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return
	}
	dtype, width := storageNames[s.class], elementSizes[s.class]
	if s.class == "UntypedStorage" && len(args) > 6 {
		if g, ok := args[6].(global); ok && g.module == "torch" {
			dtype, width = g.name, untypedWidths[g.name]
		}
	}
	if dtype == "" {
		dtype = s.class
	}
	t, p := m.tensors, extent{s.key, at, elements}
	if _, shared := t.seen[p]; shared {
		t.all.Count++
		return
	}
	m.memory -= 2*costEntry + int64(len(dtype))
	t.seen[p] = struct{}{}
	if width > 0 && elements > math.MaxInt64/width {
		width = 0
	}
	t.add(dtype, elements, elements*width)
}

// add counts a tensor that shares nothing.
func (t *tally) add(dtype string, elements, bytes int64) {
	d := t.all.DTypes[dtype]
	d.Tensors++
	d.Elements = sum(d.Elements, elements)
	d.Bytes = sum(d.Bytes, bytes)
	t.all.DTypes[dtype] = d
	t.all.Count++
	t.all.Elements = sum(t.all.Elements, elements)
}

// sum of two numbers that a file has declared: as much as can be counted.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// storageNames are the dtypes of torch's storage classes.
var storageNames = map[string]string{
	"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
	"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
	"BoolStorage": "bool", "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64",
	"QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}

// untypedWidths are the bytes of the dtypes that have no storage class.
// Source: torch/_utils.py, _rebuild_tensor_v3, and c10/core/ScalarType.h.
var untypedWidths = map[string]int64{
	"float8_e5m2": 1, "float8_e4m3fn": 1, "float8_e5m2fnuz": 1, "float8_e4m3fnuz": 1, "float8_e8m0fnu": 1,
	"uint16": 2, "uint32": 4, "uint64": 8, "complex32": 4,
}

// safetensorsNames are torch's names of the dtypes of safetensors.
// Source: safetensors/bindings/python/py_src/safetensors/torch.py, _TYPES.
var safetensorsNames = map[string]string{
	"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
	"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
	"BOOL": "bool", "C64": "complex64",
	"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
