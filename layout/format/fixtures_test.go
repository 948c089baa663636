package format

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A fixture is a real file of testdata.
type fixture struct {
	name string
	data []byte
}

// fixtures are the small files of every format, and one checkpoint of a run.
func fixtures(t testing.TB) []fixture {
	t.Helper()
	var all []fixture
	for _, glob := range []string{"formats/*.*", "formats/dcp/.metadata", "runs/enstack/last_checkpoint/*"} {
		paths, err := filepath.Glob(filepath.Join("../../testdata", glob))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no fixtures in %s: %v", glob, err)
		}
		for _, path := range paths {
			if filepath.Ext(path) == ".md" {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fixture{filepath.Base(path), data})
		}
	}
	return all
}

func fixtureNamed(t testing.TB, name string) fixture {
	t.Helper()
	for _, f := range fixtures(t) {
		if f.name == name {
			return f
		}
	}
	t.Fatalf("no fixture %s", name)
	return fixture{}
}

func check(name string, data []byte) Result {
	return Check(name, bytes.NewReader(data), int64(len(data)))
}

// A countingReader counts what is read from it.
type countingReader struct {
	io.ReaderAt
	bytes int64
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	c.bytes += int64(n)
	return n, err
}
