package format

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxNeeds bounds how many files one index may name. The largest jobs have some
// ten thousand ranks, each with a few files.
const maxNeeds = 1 << 18

// Needs are the files that an index says belong to its checkpoint: paths below
// the directory of the index, with slashes, and the least size that each must
// have, which is 0 where the index does not say.
type Needs map[string]int64

// An indexer reads what the index called base needs.
type indexer func(base string, r io.ReaderAt, size int64) (Needs, error)

// IsIndex reports whether a file of this name can be an index.
func IsIndex(name string) bool { return indexed(path.Base(name)) != nil }

// Index reads which files an index asks for. It knows the .metadata of
// torch.distributed.checkpoint, the JSON that lists the shards of a model's
// weights, and the .index of a TensorFlow checkpoint. Needs are nil where the
// file is none of these after all, or is too large to be looked through. The
// error is a Damage where it is one and is not whole, else it comes from
// reading.
func Index(name string, r io.ReaderAt, size int64) (Needs, error) {
	base := path.Base(name)
	read := indexed(base)
	if read == nil {
		return nil, nil
	}
	needs, err := read(base, r, size)
	if errors.Is(err, errLimit) {
		return nil, nil
	}
	return needs, err
}

// indexed picks the reader by name: nil for a file that is no index.
func indexed(base string) indexer {
	switch {
	case isDCPMetadata(base):
		return indexDCP
	case strings.HasSuffix(base, ".index.json"), strings.HasSuffix(base, ".weights.json"):
		return indexJSON
	case strings.HasSuffix(base, tfIndexSuffix):
		return indexTF
	}
	return nil
}

// add asks for a file of at least size bytes. What an index may name lies below
// its own directory.
func (n Needs) add(name string, size int64) error {
	name = path.Clean(name)
	if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) {
		return Damage(fmt.Sprintf("damaged: it names the file %q, which is not in its directory", name))
	}
	if _, known := n[name]; !known && len(n) == maxNeeds {
		return errLimit
	}
	n[name] = max(n[name], size)
	return nil
}
