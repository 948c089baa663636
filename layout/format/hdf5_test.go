package format

import (
	"encoding/binary"
	"testing"
)

// superblock is an HDF5 file of n bytes whose superblock of this version says
// that it ends at eof.
func superblock(version byte, eof uint64, flags byte, n int) []byte {
	b := []byte(hdf5Signature)
	switch version {
	case 0:
		b = append(b, version, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0)
	case 1:
		b = append(b, version, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0, 32, 0, 0, 0)
	default:
		b = append(b, version, 8, 8, flags)
	}
	le := binary.LittleEndian
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, 1<<64-1)
	b = le.AppendUint64(b, eof)
	return append(b, make([]byte, max(0, n-len(b)))...)[:n]
}

func TestHDF5(t *testing.T) {
	userblock := make([]byte, 512)
	for _, c := range []struct {
		name    string
		data    []byte
		problem string
	}{
		{"version 0", superblock(0, 200, 0, 200), ""},
		{"version 1", superblock(1, 200, 0, 200), ""},
		{"version 2", superblock(2, 200, 0, 200), ""},
		{"version 3", superblock(3, 200, 0, 200), ""},
		{"a version of tomorrow", superblock(9, 999, 0, 200), ""},
		{"behind a user block", append(userblock, superblock(2, 200, 0, 200)...), ""},
		{"version 0, cut", superblock(0, 201, 0, 200), "cut short: it ends at 201, 200 bytes are there"},
		{"version 1, cut", superblock(1, 201, 0, 200), "cut short: it ends at 201, 200 bytes are there"},
		{"version 2, cut", superblock(2, 201, 0, 200), "cut short: it ends at 201, 200 bytes are there"},
		{"in the superblock", superblock(2, 200, 0, 30), "cut short: its superblock is not whole"},
		{"in the signature", superblock(2, 200, 0, 9), "cut short: its superblock is not whole"},
		{"still open for writing", superblock(3, 200, hdf5Writing, 200), "damaged: it was not closed by its writer"},
	} {
		res := check("weights.h5", c.data)
		if res.Problem != c.problem || res.Proven {
			t.Errorf("%s: %+v, want %q", c.name, res, c.problem)
		}
	}
}
