package format

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// maxTable bounds a table, in bytes. A variable takes some 60 of them.
const maxTable = 64 << 20

const (
	lenTableFooter  = 48
	lenTableTrailer = 5 // after each block: how it is compressed, and a checksum
)

// tableMagic is the end of a table.
const tableMagic = "\x57\xfb\x80\x8b\x24\x75\x47\xdb"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A blockHandle says where a block of a table lies, without its trailer.
type blockHandle struct{ offset, size uint64 }

// scanTable reads a sorted table of LevelDB's format, which TensorFlow keeps its
// index in: blocks of entries, a block that lists them, and a footer that says
// where that lies. Each block has a checksum, which is compared. entry gets the
// keys in their order; both slices are its own only until it returns.
//
// Source: leveldb/doc/table_format.md; tensorflow/core/lib/io/{format,block}.cc.
func scanTable(r io.ReaderAt, size int64, entry func(key, value []byte) error) error {
	if size > maxTable {
		return errLimit
	}
	if size < lenTableFooter {
		return Damage("cut short: its footer is missing")
	}
	footer := make([]byte, lenTableFooter)
	if err := readAt(r, footer, size-lenTableFooter); err != nil {
		return err
	}
	if string(footer[lenTableFooter-len(tableMagic):]) != tableMagic {
		return Damage("cut short: its footer is missing")
	}
	meta, rest, ok1 := readHandle(footer)
	list, _, ok2 := readHandle(rest)
	if !ok1 || !ok2 {
		return Damage("damaged: its footer makes no sense")
	}
	b := &tableReader{r: r, end: uint64(size - lenTableFooter)}
	if _, err := b.block(meta); err != nil { // names of filters, which nobody here needs
		return err
	}
	listed, err := b.block(list)
	if err != nil {
		return err
	}
	data := &tableReader{r: r, end: min(meta.offset, list.offset)}
	return blockEntries(listed, func(_, value []byte) error {
		h, _, ok := readHandle(value)
		if !ok {
			return Damage("damaged: it does not say where a block of it lies")
		}
		content, err := data.block(h)
		if err != nil {
			return err
		}
		return blockEntries(content, entry)
	})
}

// A tableReader reads blocks in the order that they lie in, so that a table is
// read once at most, whatever it lists.
type tableReader struct {
	r         io.ReaderAt
	from, end uint64 // where the next block may lie
	buf       []byte
}

// block reads one block, which stays valid until the next one.
func (t *tableReader) block(h blockHandle) ([]byte, error) {
	if h.offset < t.from || h.offset > t.end || t.end-h.offset < lenTableTrailer || h.size > t.end-h.offset-lenTableTrailer {
		return nil, Damage("damaged: a block of it lies where it cannot")
	}
	n := h.size + lenTableTrailer
	t.from = h.offset + n
	if uint64(cap(t.buf)) < n {
		t.buf = make([]byte, n)
	}
	b := t.buf[:n]
	if err := readAt(t.r, b, int64(h.offset)); err != nil {
		return nil, err
	}
	sum := crc32.Checksum(b[:h.size+1], castagnoli)
	if masked := (sum>>15 | sum<<17) + 0xa282ead8; binary.LittleEndian.Uint32(b[h.size+1:]) != masked {
		return nil, Damage("damaged: a block of it is not what was written (checksum)")
	}
	if b[h.size] != 0 {
		return nil, errLimit // compressed, which TensorFlow can read but does not write
	}
	return b[:h.size], nil
}

// blockEntries reads the entries of a block. A key is what it shares with the
// one before, and the rest. Behind the entries are the offsets of those that
// share nothing, and their number.
func blockEntries(b []byte, entry func(key, value []byte) error) error {
	const makesNoSense = Damage("damaged: a block of it makes no sense")
	if len(b) < 4 {
		return makesNoSense
	}
	restarts := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	if restarts > uint64(len(b)-4)/4 {
		return makesNoSense
	}
	b = b[:len(b)-4-4*int(restarts)]
	var key []byte
	for len(b) > 0 {
		var n [3]uint64 // shared, not shared, length of the value
		for i := range n {
			v, width := binary.Uvarint(b)
			if width <= 0 {
				return makesNoSense
			}
			n[i], b = v, b[width:]
		}
		if n[0] > uint64(len(key)) || n[1] > uint64(len(b)) || n[2] > uint64(len(b))-n[1] {
			return makesNoSense
		}
		key = append(key[:n[0]], b[:n[1]]...)
		value := b[n[1] : n[1]+n[2]]
		b = b[n[1]+n[2]:]
		if err := entry(key, value); err != nil {
			return err
		}
	}
	return nil
}

// readHandle reads the handle that b begins with.
func readHandle(b []byte) (h blockHandle, rest []byte, ok bool) {
	offset, n := binary.Uvarint(b)
	if n <= 0 {
		return h, nil, false
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return h, nil, false
	}
	return blockHandle{offset, size}, b[n+m:], true
}
