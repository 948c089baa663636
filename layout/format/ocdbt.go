package format

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// maxManifest bounds the manifest of a database, in bytes.
const maxManifest = 64 << 20

const lenManifestHeader = 12 // the magic number and the length of all

// readOCDBT judges the manifest.ocdbt of tensorstore's database, in which Orbax
// keeps arrays. It says how long it is, and ends with a checksum. The data
// files that it leads to have names of random digits and are not looked for.
//
// Source: tensorstore/kvstore/ocdbt/format (manifest, header and footer).
func readOCDBT(r io.ReaderAt, size int64, res *Result) error {
	if size > maxManifest {
		return errLimit
	}
	if size < lenManifestHeader+4 {
		return Damage("cut short: its header is missing")
	}
	data := make([]byte, size)
	if err := readAt(r, data, 0); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(data) != 0x0cdb3a2a {
		return Damage("damaged: it does not begin as a manifest")
	}
	switch n := binary.LittleEndian.Uint64(data[4:]); {
	case n > uint64(size):
		return Damage(fmt.Sprintf("cut short: it has %d bytes of %d", size, n))
	case n < uint64(size):
		return Damage(fmt.Sprintf("damaged: %d bytes follow its end", uint64(size)-n))
	}
	content, sum := data[:size-4], data[size-4:]
	if crc32.Checksum(content, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return Damage("damaged: its content is not what was written (checksum)")
	}
	res.Proven, res.Checked, res.Verified = true, true, true
	return nil
}
