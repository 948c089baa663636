package format

import (
	"errors"
	"io"
	"math"
	"path"
)

// Tensors is what a file says of the tensors in it.
type Tensors struct {
	Count    int              // as they are named; one may be there under several names
	Elements int64            // of a model: its parameters. What is shared counts once
	DTypes   map[string]DType // by torch's names, such as "float32"
}

// DType is what is there of one type of number.
type DType struct {
	Tensors  int
	Elements int64
	Bytes    int64 // 0 where the size of one is not known
}

// List counts the tensors of a file from its header or its pickle; it reads none
// of them. It gives nil where the format does not tell, and for files that are
// damaged or too large to be looked through. The error is from reading.
func List(name string, r io.ReaderAt, size int64) (*Tensors, error) {
	head := make([]byte, min(size, 16))
	if err := readAt(r, head, 0); err != nil {
		return nil, unlessDamaged(err)
	}
	t := &tally{seen: map[extent]struct{}{}, all: Tensors{DTypes: map[string]DType{}}}
	var err error
	told := false
	switch format, _, _ := choose(path.Base(name), head); format {
	case Safetensors:
		told, err = t.safetensors(r, size)
	case TorchZip:
		told, err = t.torchZip(r, size)
	case Pickle:
		told, err = t.torchLegacy(r, size)
	}
	if err != nil || !told {
		return nil, unlessDamaged(err)
	}
	return &t.all, nil
}

// unlessDamaged is what went wrong in reading.
func unlessDamaged(err error) error {
	if errors.As(err, new(Damage)) || errors.Is(err, errLimit) {
		return nil
	}
	return err
}

func (t *tally) safetensors(r io.ReaderAt, size int64) (told bool, err error) {
	header, begin, err := safetensorsHeader(r, size)
	if err != nil {
		return false, err
	}
	delete(header, "__metadata__")
	if err := checkSpans(header, size-begin); err != nil {
		return false, err
	}
	for _, v := range header {
		entry, _ := v.(map[string]any)
		dtype, _ := entry["dtype"].(string)
		shape, _ := entry["shape"].([]any)
		elements, ok := product(shape)
		if name, known := safetensorsNames[dtype]; known {
			dtype = name
		}
		if !ok {
			return false, nil // of a type of tomorrow, with a shape that nobody has checked
		}
		bytes, _ := entry["data_offsets"].([]any)
		t.add(dtype, elements, bytes[1].(int64)-bytes[0].(int64)) // checkSpans has seen both
	}
	return true, nil
}

func (t *tally) torchZip(r io.ReaderAt, size int64) (told bool, err error) {
	records, err := zipRecords(r, size)
	if err != nil {
		return false, err
	}
	_, main := findPickle(records)
	if main == nil {
		return false, nil
	}
	c, err := recordCursor(r, main)
	if err != nil {
		return false, err
	}
	_, err = t.scan(c)
	return err == nil, err
}

// torchLegacy counts in the third pickle of torch's old format. In a pickle of
// somebody else there is no telling what is a tensor.
func (t *tally) torchLegacy(r io.ReaderAt, size int64) (told bool, err error) {
	c := newCursor(r, 0, size)
	first, err := scanPickle(c)
	if err != nil || first.top != any(legacyMagic) {
		return false, err
	}
	for range 2 { // the protocol, the machine
		if _, err := scanPickle(c); err != nil {
			return false, err
		}
	}
	_, err = t.scan(c)
	return err == nil, err
}

func (t *tally) scan(c *cursor) (*pickle, error) {
	m := newMachine(c)
	m.tensors = t
	return m.run(maxOpcodes)
}

// product is the number of elements of a shape; ok is false where that is none.
func product(shape []any) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		length, isInt := d.(int64)
		if !isInt || length < 0 || length > 0 && n > math.MaxInt64/length {
			return 0, false
		}
		n *= length
	}
	return n, true
}
