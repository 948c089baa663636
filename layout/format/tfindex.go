package format

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

const tfIndexSuffix = ".index"

// beginsAsTFIndex reports whether a file begins with the entry under the empty
// key, whose first field is the number of shards.
func beginsAsTFIndex(head []byte) bool {
	return len(head) > 3 && head[0] == 0 && head[1] == 0 && head[3] == 1<<3
}

// readTFIndex judges the index of a TensorFlow checkpoint. Its footer comes
// last, and every block of it has a checksum.
func readTFIndex(r io.ReaderAt, size int64, res *Result) error {
	if _, err := scanTFIndex("", r, size); err != nil {
		return err
	}
	res.Proven, res.Checked, res.Verified = true, true, true
	return nil
}

func indexTF(base string, r io.ReaderAt, size int64) (Needs, error) {
	head := make([]byte, min(size, 4))
	if err := readAt(r, head, 0); err != nil {
		return nil, err
	}
	if !beginsAsTFIndex(head) {
		return nil, nil // another program's
	}
	return scanTFIndex(strings.TrimSuffix(base, tfIndexSuffix), r, size)
}

// scanTFIndex finds the data files of the checkpoint with this prefix and how
// long each must be. The entry under the empty key says how many shards there
// are, every other one where a tensor lies: shard, offset, size. One that lists
// slices has no data of its own; they have entries too.
//
// Source: tensorflow/core/protobuf/tensor_bundle.proto and
// tensorflow/core/util/tensor_bundle.
func scanTFIndex(prefix string, r io.ReaderAt, size int64) (Needs, error) {
	sizes := map[int64]int64{} // of each shard
	shards := int64(-1)
	err := scanTable(r, size, func(key, value []byte) error {
		var fields [8]int64
		var sliced bool
		ok := eachField(value, func(number, v uint64, isNumber bool) {
			switch {
			case number == 7:
				sliced = true
			case number < 7 && isNumber:
				fields[number] = int64(v)
			}
		})
		if shards < 0 {
			if shards = fields[1]; !ok || len(key) > 0 || shards < 0 || shards > math.MaxInt32 {
				return Damage("damaged: it does not say how many shards there are")
			}
			return nil
		}
		shard, offset, length := fields[3], fields[4], fields[5]
		if !ok || shard < 0 || shard >= max(1, shards) || offset < 0 || length < 0 || offset > math.MaxInt64-length {
			return Damage("damaged: it does not say where a tensor lies")
		}
		if sliced {
			return nil
		}
		if _, known := sizes[shard]; !known && len(sizes) == maxNeeds {
			return errLimit
		}
		sizes[shard] = max(sizes[shard], offset+length)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if shards < 0 {
		return nil, Damage("damaged: it has no entries")
	}
	needs := make(Needs, len(sizes))
	for shard, size := range sizes {
		if err := needs.add(fmt.Sprintf("%s.data-%05d-of-%05d", prefix, shard, shards), size); err != nil {
			return nil, err
		}
	}
	return needs, nil
}

// eachField goes through the fields of a protocol buffer. Of those that are no
// plain number only their presence is told. ok is false when it makes no sense.
func eachField(b []byte, field func(number, value uint64, isNumber bool)) (ok bool) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		var skip uint64
		switch tag & 7 {
		case 0:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return false
			}
			field(tag>>3, v, true)
			b = b[n:]
			continue
		case 1:
			skip = 8
		case 2:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return false
			}
			skip, b = v, b[n:]
		case 5:
			skip = 4
		default:
			return false
		}
		if skip > uint64(len(b)) {
			return false
		}
		field(tag>>3, 0, false)
		b = b[skip:]
	}
	return true
}
