package format

import (
	"io"
	"math"
	"strings"
)

// isDCPMetadata reports whether torch.distributed.checkpoint writes an index
// under this name: .metadata, or __3.metadata of one rank where ranks do not
// talk to each other.
func isDCPMetadata(base string) bool {
	return base == ".metadata" || strings.HasPrefix(base, "__") && strings.HasSuffix(base, ".metadata")
}

// readDCP judges the .metadata of torch.distributed.checkpoint: one pickle.
func readDCP(r io.ReaderAt, size int64, res *Result) error {
	_, err := scanDCP(r, size)
	res.Proven = err == nil
	return err
}

func indexDCP(_ string, r io.ReaderAt, size int64) (Needs, error) {
	var head [1]byte
	if size == 0 || readAt(r, head[:], 0) == nil && head[0] != opProto && head[0] != 0 {
		return nil, nil // another program's
	}
	return scanDCP(r, size)
}

// scanDCP finds the files of a DCP checkpoint and how long each must be. Where
// an item of the state lies is in a _StorageInfo each: relative_path, offset
// and length. Other writers have their own class of that name.
//
// Source: torch/distributed/checkpoint/filesystem.py and metadata.py.
func scanDCP(r io.ReaderAt, size int64) (Needs, error) {
	needs := Needs{}
	var wrong error
	c := newCursor(r, 0, size)
	err := seekObjects(c, "_StorageInfo", func(a dict) {
		if wrong != nil {
			return
		}
		name, ok1 := a["relative_path"].(string)
		offset, ok2 := a["offset"].(int64)
		length, ok3 := a["length"].(int64)
		if !ok1 || !ok2 || !ok3 || offset < 0 || length < 0 || offset > math.MaxInt64-length {
			wrong = Damage("damaged: it does not say where its data lies")
			return
		}
		wrong = needs.add(name, offset+length)
	})
	switch {
	case err != nil:
		return nil, err
	case wrong != nil:
		return nil, wrong
	case c.rest() != 0:
		return nil, Damage("damaged: something follows its end")
	}
	return needs, nil
}
