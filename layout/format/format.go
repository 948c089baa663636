// Package format reads just enough of a checkpoint file to say whether it is
// whole and what plain values its metadata holds (Check, Scalars), and which
// other files an index asks for (Index).
//
// The files are not trusted. Nothing in them is executed, no length that they
// declare is allocated before it is checked against the file, and every reader
// has fixed limits on depth, work and memory: whatever a file says, Check
// allocates less than 512 MiB for it, most of which is garbage at once, and
// Verify inflates no more than 16 GiB of it. A reader looks at headers,
// directories and pickles, not at tensors, but for the few bytes of one that is
// a number: a checkpoint of 500 MB costs some kilobytes of reading.
package format

import (
	"errors"
	"io"
	"path"
	"strings"
)

// The names of the formats, as Result and the layouts use them.
const (
	TorchZip    = "torch-zip"    // torch.save since 1.6: a zip of stored records
	TorchLegacy = "torch-legacy" // torch.save before 1.6: pickles, then raw storages
	Pickle      = "pickle"
	Safetensors = "safetensors"
	JSON        = "json"
	NPZ         = "npz"
	Zip         = "zip" // a zip of something else, e.g. .keras
	Msgpack     = "msgpack"
	HDF5        = "hdf5"
	DCP         = "dcp-metadata" // the index of torch.distributed.checkpoint
	TFIndex     = "tf-index"     // the index of a TensorFlow checkpoint
	OCDBT       = "ocdbt"        // the manifest of tensorstore's database
	Unknown     = "opaque"
)

// Names lists the formats.
var Names = []string{TorchZip, TorchLegacy, Pickle, Safetensors, JSON, NPZ, Zip, Msgpack, HDF5, DCP, TFIndex, OCDBT, Unknown}

// Result is what Check found out about one file.
type Result struct {
	Format string

	// Proven says that the structure proves the file whole: a writer that
	// stopped anywhere before the end would have been noticed. It is false
	// where the length is fixed before the content is written (safetensors,
	// hdf5), for opaque files, and for files that exceed a limit.
	Proven bool

	// Checked says that the content too can be proved from the file alone:
	// every record has a checksum, or the text makes sense to its last byte
	// (json). Verified says that this has been done: by Check where it reads
	// the whole file anyway, else only by Verify.
	Checked, Verified bool

	// Problem says what is wrong, in words that can follow "path: "; "" when
	// nothing is.
	Problem string

	// Scalars are the plain values of the metadata. Nil when there are none or
	// too many.
	Scalars Scalars
}

// Damage says that a file is not what a writer that finished leaves. All other
// errors of this package come from reading.
type Damage string

func (d Damage) Error() string { return string(d) }

// errLimit says that a file asks for more than a reader is willing to spend.
// Such a file is neither proven nor refused.
var errLimit = errors.New("too large to be looked through")

// Check looks at one file. Its format follows from the name where the name
// promises one, else from its first bytes. A promise that is not kept is a
// Problem; a file without a promise is opaque when it does not read.
func Check(name string, r io.ReaderAt, size int64) Result {
	head := make([]byte, min(size, 16))
	if err := readAt(r, head, 0); err != nil {
		return Result{Format: Unknown, Problem: problem(err)}
	}
	format, read, promised := choose(path.Base(name), head)
	if read == nil {
		return Result{Format: Unknown}
	}
	if promised && size == 0 {
		return Result{Format: format, Problem: "empty"}
	}
	res := Result{Format: format}
	err := read(r, size, &res)
	switch {
	case err == nil:
		return res
	case errors.Is(err, errLimit):
		return Result{Format: res.Format}
	case !promised && errors.As(err, new(Damage)):
		return Result{Format: Unknown}
	}
	return Result{Format: res.Format, Problem: problem(err)}
}

// HoldsTensors reports whether a file of this name is usually one of tensors:
// weights, the state of an optimizer. It goes by the name alone, so that it can
// be asked of a file that is only begun.
func HoldsTensors(name string) bool {
	base := strings.ToLower(path.Base(name))
	if strings.HasSuffix(base, ".pth.tar") {
		return true
	}
	switch path.Ext(base) {
	case ".safetensors", ".npz", ".keras", ".zip", ".h5", ".hdf5", ".msgpack", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle":
		return true
	}
	return false
}

func problem(err error) string {
	if d := Damage(""); errors.As(err, &d) {
		return string(d)
	}
	return "cannot be read: " + err.Error()
}
