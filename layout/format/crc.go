package format

import (
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// maxVerified bounds what Verify inflates: a file of some MiB can hold a record
// of some TiB of zeros. What is not compressed is as long as it is.
const maxVerified = 16 << 30

// Verify looks at one file as Check does, and then proves its content where
// the format can: it reads the whole file.
func Verify(name string, r io.ReaderAt, size int64) Result {
	res := Check(name, r, size)
	if res.Problem != "" || !res.Checked || res.Verified {
		return res
	}
	switch err := VerifyCRC(r, size); {
	case errors.Is(err, errLimit):
		return res // not verified
	case err != nil:
		return Result{Format: res.Format, Problem: problem(err)}
	}
	res.Verified = true
	return res
}

// VerifyCRC reads the content of every record of a zip (torch-zip, npz, zip)
// and compares it with its checksum. It reads the whole file; records without
// a checksum prove nothing and are passed over. The error is a Damage where
// the content is not what was written, else it comes from reading.
func VerifyCRC(r io.ReaderAt, size int64) error {
	records, err := zipRecords(r, size)
	if err != nil {
		return err
	}
	if inflated(records) > maxVerified {
		return errLimit
	}
	for i := range records {
		rec := &records[i]
		if !rec.checked() {
			continue
		}
		var content io.Reader = rec.section(r)
		switch rec.method {
		case methodStored:
		case methodDeflate:
			content = io.LimitReader(flate.NewReader(content), rec.size+1)
		default:
			return Damage(fmt.Sprintf("record %q is compressed by an unknown method (%d)", rec.name, rec.method))
		}
		sum, n, err := crcOf(content)
		if _, corrupt := err.(flate.CorruptInputError); err != nil && !corrupt && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("record %q: %w", rec.name, err)
		}
		if err != nil || n != rec.size || sum != rec.crc {
			return Damage(fmt.Sprintf("damaged: the content of record %q is not what was written (checksum)", rec.name))
		}
	}
	return nil
}

// inflated is how many bytes the compressed records of a zip say that they come
// to. No record gives more than it says.
func inflated(records []record) (n int64) {
	for i := range records {
		if rec := &records[i]; rec.method != methodStored && rec.checked() {
			n += min(rec.size, maxVerified+1)
		}
	}
	return n
}

// crcOf is the checksum of a record's content.
func crcOf(content io.Reader) (uint32, int64, error) {
	h := crc32.NewIEEE()
	n, err := io.Copy(h, content)
	return h.Sum32(), n, err
}
