package format

import (
	"bytes"
	"encoding/binary"
	"io"
)

// The records at the end of a zip (APPNOTE.TXT 4.3.14 to 4.3.16).
const (
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50

	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20
	maxComment   = 1<<16 - 1
)

// A directory says where the central directory of a zip lies.
type directory struct {
	offset, size int64
	records      int64
}

// errNoDirectory is what every cut zip gets: the directory is written last.
const errNoDirectory = Damage("cut short: the zip directory that belongs at its end is missing")

// findDirectory reads the end of a zip. The directory must lie directly before
// the end records, as every writer puts it.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	at, end, err := findEnd(r, size)
	if err != nil {
		return directory{}, err
	}
	le := binary.LittleEndian
	dir := directory{
		records: int64(le.Uint16(end[10:])),
		size:    int64(le.Uint32(end[12:])),
		offset:  int64(le.Uint32(end[16:])),
	}
	saturated := dir.records == 0xffff || dir.size == 0xffffffff || dir.offset == 0xffffffff
	at64, wide, err := findEnd64(r, at)
	if err != nil {
		return directory{}, err
	}
	switch {
	case wide != nil:
		at = at64
		dir = directory{
			records: int64(le.Uint64(wide[32:])),
			size:    int64(le.Uint64(wide[40:])),
			offset:  int64(le.Uint64(wide[48:])),
		}
	case saturated:
		return directory{}, Damage("damaged: the end of the zip lacks its 64-bit part")
	}
	if dir.offset < 0 || dir.size < 0 || dir.records < 0 || dir.offset > at || dir.size != at-dir.offset {
		return directory{}, Damage("damaged: the zip directory is not where the end of the zip says")
	}
	return dir, nil
}

// findEnd finds the end-of-directory record: the last bytes of the file,
// unless a comment follows.
func findEnd(r io.ReaderAt, size int64) (at int64, end []byte, err error) {
	if size < lenEnd {
		return 0, nil, errNoDirectory
	}
	end = make([]byte, lenEnd)
	if err := readAt(r, end, size-lenEnd); err != nil {
		return 0, nil, err
	}
	if isEnd(end, 0) {
		return size - lenEnd, end, nil
	}
	tail := make([]byte, min(size, lenEnd+maxComment))
	if err := readAt(r, tail, size-int64(len(tail))); err != nil {
		return 0, nil, err
	}
	for i := len(tail) - lenEnd; i >= 0; i-- {
		if i = bytes.LastIndex(tail[:i+4], []byte("PK\x05\x06")); i < 0 {
			break
		}
		if isEnd(tail[i:], len(tail)-i-lenEnd) {
			return size - int64(len(tail)-i), tail[i : i+lenEnd], nil
		}
	}
	return 0, nil, errNoDirectory
}

// isEnd reports whether b starts with an end record of a zip on one disk that
// is followed by comment bytes up to the end of the file.
func isEnd(b []byte, comment int) bool {
	le := binary.LittleEndian
	return le.Uint32(b) == sigEnd && le.Uint32(b[4:]) == 0 && int(le.Uint16(b[20:])) == comment
}

// findEnd64 reads the 64-bit end record through its locator, which lies before
// the end record at offset at. torch writes both for files of every size. A
// nil result means that there is none.
func findEnd64(r io.ReaderAt, at int64) (at64 int64, wide []byte, err error) {
	if at < lenLocator64+lenEnd64 {
		return 0, nil, nil
	}
	b := make([]byte, lenLocator64)
	if err := readAt(r, b, at-lenLocator64); err != nil {
		return 0, nil, err
	}
	le := binary.LittleEndian
	if le.Uint32(b) != sigLocator64 {
		return 0, nil, nil
	}
	at64 = int64(le.Uint64(b[8:]))
	if at64 < 0 || at64 > at-lenLocator64-lenEnd64 {
		return 0, nil, Damage("damaged: the 64-bit end of the zip is not where its locator says")
	}
	wide = make([]byte, lenEnd64)
	if err := readAt(r, wide, at64); err != nil {
		return 0, nil, err
	}
	if le.Uint32(wide) != sigEnd64 {
		return 0, nil, Damage("damaged: the 64-bit end of the zip is not where its locator says")
	}
	return at64, wide, nil
}
