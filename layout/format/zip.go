package format

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// The limits of a zip's directory, in records and in bytes. The largest
// checkpoints have some 100,000 tensors; a record costs about 100 bytes here.
const (
	maxRecords   = 1 << 18
	maxDirectory = 64 << 20
)

// The signatures and fixed sizes of APPNOTE.TXT 4.3 (the zip specification).
const (
	sigLocal     = 0x04034b50
	sigDirectory = 0x02014b50

	lenLocal     = 30
	lenDirectory = 46

	extraZip64 = 0x0001

	methodStored  = 0
	methodDeflate = 8
)

// A record is one member of a zip.
type record struct {
	name   string
	method uint16
	crc    uint32 // of the content; 0 with content means that none was computed
	packed int64  // bytes in the file
	size   int64  // bytes of content
	header int64  // offset of the local header
	data   int64  // offset of the content
}

// checked reports whether the record carries a checksum. torch writes 0 when
// torch.serialization.set_crc32_options(False) is in force.
func (rec *record) checked() bool { return rec.crc != 0 || rec.size == 0 }

// section is the record's content as it lies in the file.
func (rec *record) section(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, rec.data, rec.packed)
}

// readZip judges a zip that holds something else than torch's records.
func readZip(r io.ReaderAt, size int64, res *Result) error {
	records, err := zipRecords(r, size)
	if err != nil {
		return err
	}
	res.Proven, res.Checked = true, allChecked(records)
	return nil
}

func allChecked(records []record) bool {
	return !slices.ContainsFunc(records, func(rec record) bool { return !rec.checked() })
}

// zipRecords reads the directory of a zip and the local header of each record,
// and returns the records in the order of their content. It proves that the
// directory is whole, that every record lies inside the file where the
// directory says, and that no two overlap.
//
// archive/zip is not used because it keeps a directory of any size in memory
// and checks none of this.
func zipRecords(r io.ReaderAt, size int64) ([]record, error) {
	dir, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	if dir.records > maxRecords || dir.size > maxDirectory {
		return nil, errLimit
	}
	records := make([]record, 0, min(dir.records, dir.size/lenDirectory))
	c := newCursor(r, dir.offset, dir.offset+dir.size)
	for c.rest() > 0 {
		if int64(len(records)) == dir.records {
			return nil, Damage("damaged: the zip directory is longer than it says")
		}
		rec, err := directoryEntry(c)
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	if int64(len(records)) != dir.records {
		return nil, Damage(fmt.Sprintf("damaged: the zip directory has %d of %d records", len(records), dir.records))
	}
	slices.SortFunc(records, func(a, b record) int { return cmp.Compare(a.header, b.header) })
	return records, locate(r, records, dir.offset)
}

// directoryEntry reads one entry of the central directory.
func directoryEntry(c *cursor) (record, error) {
	b, err := c.next(lenDirectory)
	if err != nil {
		return record{}, err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != sigDirectory {
		return record{}, Damage("damaged: the zip directory has a bad entry")
	}
	rec := record{
		method: le.Uint16(b[10:]),
		crc:    le.Uint32(b[16:]),
		packed: int64(le.Uint32(b[20:])),
		size:   int64(le.Uint32(b[24:])),
		header: int64(le.Uint32(b[42:])),
	}
	nameLen, extraLen, commentLen := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int64(le.Uint16(b[32:]))
	if nameLen > cursorBuffer || extraLen > cursorBuffer {
		return record{}, errLimit
	}
	if b, err = c.next(nameLen); err != nil {
		return record{}, err
	}
	rec.name = string(b)
	if b, err = c.next(extraLen); err != nil {
		return record{}, err
	}
	if err := rec.widen(b); err != nil {
		return record{}, err
	}
	if rec.method == methodStored && rec.packed != rec.size {
		return record{}, Damage(fmt.Sprintf("damaged: record %q is stored, but has two sizes", rec.name))
	}
	return rec, c.skip(commentLen)
}

// widen takes the numbers that do not fit into 32 bits from the zip64 extra
// field, which holds those that are saturated, in this order.
func (rec *record) widen(extra []byte) error {
	le := binary.LittleEndian
	var wide []byte
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if n > len(extra)-4 {
			break // torch pads with such fields; what is no field is padding
		}
		if id == extraZip64 {
			wide = extra[4 : 4+n]
			break
		}
		extra = extra[4+n:]
	}
	for _, field := range []*int64{&rec.size, &rec.packed, &rec.header} {
		if *field != 0xffffffff {
			continue
		}
		if len(wide) < 8 {
			return Damage(fmt.Sprintf("damaged: record %q has no 64-bit size", rec.name))
		}
		v := int64(le.Uint64(wide))
		if v < 0 {
			return Damage(fmt.Sprintf("damaged: record %q has an impossible size", rec.name))
		}
		*field, wide = v, wide[8:]
	}
	return nil
}

// locate reads the local header of each record, which alone says where the
// content begins. records are sorted by header; end is where content ends.
func locate(r io.ReaderAt, records []record, end int64) error {
	var buf []byte
	for i := range records {
		rec := &records[i]
		limit := end
		if i+1 < len(records) {
			limit = records[i+1].header
		}
		n := int64(lenLocal + len(rec.name))
		if rec.header > end || n > limit-rec.header {
			return Damage(fmt.Sprintf("damaged: record %q lies outside the file", rec.name))
		}
		buf = slices.Grow(buf[:0], int(n))[:n]
		if err := readAt(r, buf, rec.header); err != nil {
			return err
		}
		le := binary.LittleEndian
		if le.Uint32(buf) != sigLocal || le.Uint16(buf[8:]) != rec.method ||
			int(le.Uint16(buf[26:])) != len(rec.name) || string(buf[lenLocal:]) != rec.name {
			return Damage(fmt.Sprintf("damaged: the header of record %q is not where the zip directory says", rec.name))
		}
		rec.data = rec.header + n + int64(le.Uint16(buf[28:]))
		if rec.data > limit || rec.packed > limit-rec.data {
			return Damage(fmt.Sprintf("damaged: record %q lies outside the file or in another record", rec.name))
		}
	}
	return nil
}
