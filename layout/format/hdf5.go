package format

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	hdf5Signature = "\x89HDF\r\n\x1a\n"

	// hdf5Superblock is more than any version's superblock has up to the
	// end-of-file address.
	hdf5Superblock = 64

	// hdf5Userblock bounds the search for a signature behind a user block.
	hdf5Userblock = 1 << 20

	// hdf5Writing is the flag of a version 3 superblock that is set while the
	// file is open for writing.
	hdf5Writing = 1
)

// readHDF5 judges an HDF5 file by its superblock, which says where the file
// ends. The library writes in any order and updates the superblock as it goes,
// so that a right length does not prove the file whole.
// Source: HDF5 File Format Specification, II.A (superblock).
func readHDF5(r io.ReaderAt, size int64, res *Result) error {
	at, err := findHDF5(r, size)
	if err != nil {
		return err
	}
	b := make([]byte, min(hdf5Superblock, size-at))
	if err := readAt(r, b, at); err != nil {
		return err
	}
	if len(b) < 16 {
		return Damage("cut short: its superblock is not whole")
	}
	var width, base int
	switch version := b[8]; version {
	case 0:
		width, base = int(b[13]), 24
	case 1:
		width, base = int(b[13]), 28
	case 2, 3:
		width, base = int(b[9]), 12
		if version == 3 && b[11]&hdf5Writing != 0 {
			return Damage("damaged: it was not closed by its writer")
		}
	default:
		return errLimit
	}
	if width != 4 && width != 8 {
		return Damage("damaged: its superblock makes no sense")
	}
	eof := base + 2*width // behind the base address and one other
	if len(b) < eof+width {
		return Damage("cut short: its superblock is not whole")
	}
	var wide [8]byte
	copy(wide[:], b[eof:eof+width])
	if end := binary.LittleEndian.Uint64(wide[:]); end > uint64(size) {
		return Damage(fmt.Sprintf("cut short: it ends at %d, %d bytes are there", end, size))
	}
	return nil
}

// findHDF5 finds the superblock: at the beginning, or behind a user block of
// 512 bytes or a larger power of two.
func findHDF5(r io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, len(hdf5Signature))
	for at := int64(0); at <= hdf5Userblock && at+int64(len(b)) <= size; at = max(512, 2*at) {
		if err := readAt(r, b, at); err != nil {
			return 0, err
		}
		if string(b) == hdf5Signature {
			return at, nil
		}
	}
	return 0, Damage("damaged: it does not begin as an HDF5 file")
}
