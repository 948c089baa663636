package format

import (
	"bytes"
	"io"
	"path"
	"strings"
)

// A reader judges one file. It fills in the result as far as it gets; its error
// is a Damage, errLimit, or from reading.
type reader func(r io.ReaderAt, size int64, res *Result) error

// promises are the formats that a suffix promises.
var promises = map[string]struct {
	format string
	read   reader
}{
	".safetensors": {Safetensors, readSafetensors},
	".json":        {JSON, readJSON},
	".npz":         {NPZ, readNPZ},
	".zip":         {Zip, readZip},
	".keras":       {Zip, readKeras},
	".msgpack":     {Msgpack, readMsgpack},
	".h5":          {HDF5, readHDF5},
	".hdf5":        {HDF5, readHDF5},
	".ocdbt":       {OCDBT, readOCDBT},
}

// choose picks the reader by name and first bytes; nil is opaque. promised says
// that a file of this name has to be what the reader expects.
func choose(base string, head []byte) (format string, read reader, promised bool) {
	suffix := strings.ToLower(path.Ext(base))
	if suffix == ".keras" && startsLike(head, hdf5Signature) { // before Keras 3
		return HDF5, readHDF5, true
	}
	if p, ok := promises[suffix]; ok {
		return p.format, p.read, true
	}
	switch {
	case isDCPMetadata(base) && len(head) > 0 && (head[0] == opProto || head[0] == 0):
		return DCP, readDCP, true
	case suffix == tfIndexSuffix && beginsAsTFIndex(head):
		return TFIndex, readTFIndex, true
	}
	// Only torch writes .pt and the like. A .bin or .pkl can be anything, but
	// one that begins as a zip comes from torch too. Elsewhere such beginnings
	// are just a hint: the .distcp files of torch.distributed are several zips
	// in a row.
	torch := suffix == ".pt" || suffix == ".pth" || suffix == ".ckpt" || strings.HasSuffix(base, ".pth.tar")
	maybe := suffix == ".bin" || suffix == ".pkl" || suffix == ".pickle"
	switch {
	case startsLike(head, "PK\x03\x04"):
		return TorchZip, readTorchZip, torch || maybe
	case startsLike(head, "\x80"):
		return Pickle, readPickles, torch
	case startsLike(head, hdf5Signature):
		return HDF5, readHDF5, false
	case torch && len(bytes.Trim(head, "\x00")) == 0:
		return TorchZip, readHole, true
	}
	// Orbax writes JSON, and Flax checkpoints, under names without a suffix.
	switch {
	case suffix == "" && startsLike(head, "{"):
		return JSON, readJSON, false
	case suffix == "" && beginsAsMsgpack(head):
		return Msgpack, readMsgpack, false
	}
	return Unknown, nil, false
}

// startsLike reports whether head begins with magic, or is what a cut left of
// a beginning with magic.
func startsLike(head []byte, magic string) bool {
	n := min(len(head), len(magic))
	return n > 0 && string(head[:n]) == magic[:n]
}

// readHole refuses a file that is zero where its header should be.
func readHole(io.ReaderAt, int64, *Result) error {
	return Damage("damaged: it begins with zeros, its data never reached the disk")
}
