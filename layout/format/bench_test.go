package format

import (
	"bytes"
	"testing"
)

// BenchmarkReaders looks through a real file of each format, as every commit and
// every mount of a run that is new does: go test -bench Readers ./layout/format.
func BenchmarkReaders(b *testing.B) {
	for _, f := range fixtures(b) {
		size := int64(len(f.data))
		b.Run("check/"+f.name, func(b *testing.B) {
			for b.Loop() {
				if res := Check(f.name, bytes.NewReader(f.data), size); res.Problem != "" {
					b.Fatal(res.Problem)
				}
			}
		})
		if listed, err := List(f.name, bytes.NewReader(f.data), size); err != nil || listed == nil {
			continue // the format does not tell
		}
		b.Run("list/"+f.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := List(f.name, bytes.NewReader(f.data), size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
