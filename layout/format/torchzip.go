package format

import (
	"bytes"
	"cmp"
	"compress/flate"
	"fmt"
	"io"
	"strings"
)

// maxInflated bounds a compressed data.pkl, which has to be held in memory.
// torch stores it uncompressed; TorchScript may not.
const maxInflated = 16 << 20

// readTorchZip judges a file of torch.save: a zip in which <stem>/data.pkl is
// the pickled object and <stem>/data/<key> are the storages that it names.
// Other records (version, byteorder, .format_version, .storage_alignment,
// .data/serialization_id) came with time and are not needed to load.
//
// torch's writer finishes the zip even while an exception passes, so a whole
// zip is not yet a whole checkpoint: every storage must be there, in the size
// that the pickle says. A zip that has no data.pkl is judged as a plain one.
//
// Source: torch/serialization.py (_save, _load) and
// caffe2/serialize/inline_container.cc.
func readTorchZip(r io.ReaderAt, size int64, res *Result) error {
	res.Format = TorchZip
	records, err := zipRecords(r, size)
	if err != nil {
		return err
	}
	byName := make(map[string]*record, len(records))
	for i := range records {
		byName[records[i].name] = &records[i]
	}
	stem, main := findPickle(records)
	if main == nil {
		res.Format = Zip
		res.Proven, res.Checked = true, allChecked(records)
		return nil
	}
	if byName[stem+"version"] == nil && byName[stem+".data/version"] == nil {
		return Damage("damaged: it has no version record, torch.load refuses it")
	}
	p, err := recordPickle(r, main)
	if err != nil {
		return err
	}
	for s := range p.storages {
		if err := s.check(byName[stem+"data/"+s.key]); err != nil {
			return err
		}
	}
	var failed error
	scalars := plain(p.top, func(t scalarTensor) any {
		v, err := t.number(r, byName[stem+"data/"+t.storage.key], byName[stem+"byteorder"])
		failed = cmp.Or(failed, err)
		return v
	})
	if failed != nil {
		return failed
	}
	res.Scalars = scalars
	res.Proven, res.Checked = true, allChecked(records)
	return nil
}

// findPickle finds <stem>/data.pkl. The stem is the file's name at the time of
// saving ("archive" for a buffer), so it says nothing.
func findPickle(records []record) (stem string, main *record) {
	for i := range records {
		dir, file, ok := strings.Cut(records[i].name, "/")
		if ok && file == "data.pkl" {
			return dir + "/", &records[i]
		}
	}
	return "", nil
}

// recordPickle scans the pickle in a record, which must fill it.
func recordPickle(r io.ReaderAt, rec *record) (*pickle, error) {
	c, err := recordCursor(r, rec)
	if err != nil {
		return nil, err
	}
	p, err := scanPickle(c)
	if err != nil {
		return nil, err
	}
	if c.rest() != 0 {
		return nil, Damage(fmt.Sprintf("damaged: record %q goes on after its end", rec.name))
	}
	return p, nil
}

// recordCursor reads the content of a record.
func recordCursor(r io.ReaderAt, rec *record) (*cursor, error) {
	switch rec.method {
	case methodStored:
		return newCursor(r, rec.data, rec.data+rec.size), nil
	case methodDeflate:
		if rec.size > maxInflated {
			return nil, errLimit
		}
		// The limit is on what comes out; what goes in lies in the file.
		content, err := io.ReadAll(io.LimitReader(flate.NewReader(rec.section(r)), rec.size+1))
		if err != nil || int64(len(content)) != rec.size {
			return nil, Damage(fmt.Sprintf("damaged: record %q does not inflate to its size", rec.name))
		}
		return newCursor(bytes.NewReader(content), 0, rec.size), nil
	}
	return nil, errLimit
}
