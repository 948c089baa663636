package format

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
)

// maxArrayHeader bounds the header of an array in an npz, in bytes.
const maxArrayHeader = 16 << 10

// readNPZ judges a file of numpy.savez: a zip of arrays. Arrays that hold a
// single number become scalars under their names.
func readNPZ(r io.ReaderAt, size int64, res *Result) error {
	records, err := zipRecords(r, size)
	if err != nil {
		return err
	}
	for i := range records {
		rec := &records[i]
		name, isArray := strings.CutSuffix(rec.name, ".npy")
		if !isArray || rec.method != methodStored { // savez_compressed: the zip is all that is checked
			continue
		}
		v, ok, err := readArray(r, rec)
		if err != nil {
			return err
		}
		if ok {
			if res.Scalars == nil {
				res.Scalars = map[string]any{}
			}
			res.Scalars[name] = v
		}
	}
	res.Proven, res.Checked = true, allChecked(records)
	return nil
}

// The header of an array is a Python dict, written by numpy itself. Records
// of structured types have a list as descr, which does not match.
// Source: numpy/lib/format.py.
var (
	arrayDescr = regexp.MustCompile(`'descr': '([<>|=]?[a-zA-Z])(\d{1,4})'`)
	arrayShape = regexp.MustCompile(`'shape': \(([\d, ]*)\)`)
)

// readArray compares the header of an array with its size. Its value is given
// when it is a single number.
func readArray(r io.ReaderAt, rec *record) (value any, ok bool, err error) {
	c := newCursor(r, rec.data, rec.data+rec.size)
	b, err := c.next(8)
	if err != nil {
		return nil, false, err
	}
	if string(b[:6]) != "\x93NUMPY" {
		return nil, false, Damage(fmt.Sprintf("damaged: record %q is no array", rec.name))
	}
	width := 2
	if b[6] > 1 {
		width = 4
	}
	if b, err = c.next(width); err != nil {
		return nil, false, err
	}
	var wide [4]byte
	copy(wide[:], b)
	n := int64(binary.LittleEndian.Uint32(wide[:]))
	switch {
	case n > c.rest():
		return nil, false, c.short(n)
	case n > maxArrayHeader:
		return nil, false, errLimit
	}
	if b, err = c.next(int(n)); err != nil {
		return nil, false, err
	}
	descr, shape := arrayDescr.FindSubmatch(b), arrayShape.FindSubmatch(b)
	if descr == nil || shape == nil {
		return nil, false, nil
	}
	want, known := arrayBytes(string(descr[1]), string(descr[2]), string(shape[1]))
	if known && want != uint64(c.rest()) {
		return nil, false, Damage(fmt.Sprintf("damaged: array %q has %d bytes of %d", rec.name, c.rest(), want))
	}
	if !known || len(shape[1]) != 0 || want > 8 {
		return nil, false, nil
	}
	code := dtype{code: string(descr[1]) + string(descr[2])}
	if b, err = c.next(int(want)); err != nil {
		return nil, false, err
	}
	value = code.scalar(string(b))
	return value, value != any(Opaque{}), nil
}

// arrayBytes is the size that a type and a shape ask for. Objects are pickled
// and have no fixed size.
func arrayBytes(kind, width, shape string) (want uint64, known bool) {
	if strings.HasSuffix(kind, "O") {
		return 0, false
	}
	want, err := strconv.ParseUint(width, 10, 64)
	if err != nil {
		return 0, false
	}
	if strings.HasSuffix(kind, "U") {
		want *= 4 // numpy's text has four bytes a character
	}
	for dim := range strings.SplitSeq(shape, ",") {
		if dim = strings.TrimSpace(dim); dim == "" {
			continue
		}
		n, err := strconv.ParseUint(dim, 10, 64)
		hi, lo := bits.Mul64(want, n)
		if err != nil || hi != 0 {
			return 0, false
		}
		want = lo
	}
	return want, true
}
