package format

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// readKeras judges a .keras: a zip of a model's configuration and its weights,
// which are written last. Python finishes a zip even while an exception passes,
// so a whole zip is not yet a whole model.
//
// Source: keras/src/saving/saving_lib.py.
func readKeras(r io.ReaderAt, size int64, res *Result) error {
	records, err := zipRecords(r, size)
	if err != nil {
		return err
	}
	var config, weights bool
	for i := range records {
		rec := &records[i]
		switch {
		case rec.name == "config.json":
			config = true
		case strings.HasPrefix(rec.name, "model.weights."), strings.HasPrefix(rec.name, "model_") && strings.HasSuffix(rec.name, ".weights.h5"):
			weights = true
			if strings.HasSuffix(rec.name, ".h5") && rec.method == methodStored {
				err := readHDF5(rec.section(r), rec.size, &Result{})
				if d := Damage(""); errors.As(err, &d) {
					return Damage(fmt.Sprintf("damaged: record %q: %s", rec.name, d))
				}
				if err != nil && !errors.Is(err, errLimit) {
					return err
				}
			}
		}
	}
	if !config {
		return Damage("damaged: it has no config.json")
	}
	if !weights {
		return Damage("damaged: it has no weights")
	}
	res.Proven, res.Checked = true, allChecked(records)
	return nil
}
