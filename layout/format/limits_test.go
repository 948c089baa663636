package format

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
)

// Files that declare or expand to far more than they hold: each must be
// answered within the limits, whatever the answer is.
func TestLimitsHold(t *testing.T) {
	const mib = 1 << 20
	le := binary.LittleEndian
	zipEnd := func(records, size, offset uint64) []byte {
		b := append([]byte("PK\x03\x04"), make([]byte, 60)...)
		at := uint64(len(b))
		b = append(b, "PK\x06\x06"...)
		b = append(b, make([]byte, 28)...)
		b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, records), size), offset)
		b = append(b, "PK\x06\x07\x00\x00\x00\x00"...)
		b = append(le.AppendUint64(b, at), 1, 0, 0, 0)
		b = append(b, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
		return b
	}
	for _, c := range []struct {
		name, file string
		data       []byte
		allowed    uint64 // bytes allocated
		want       string // refused, proven, or neither
	}{
		{"a zip of 2^40 records", "a.pt", zipEnd(1<<40, 0, 64), mib, "neither"},
		{"a zip with a directory of 2^40 bytes", "a.pt", zipEnd(1, 1<<40, 0), mib, "refused"},
		{"a zip with a directory at 2^63", "a.pt", zipEnd(1, 1, 1<<63), mib, "refused"},
		{"a pickled string of 2^40 bytes", "a.pt", []byte("\x80\x04\x8d\x00\x00\x00\x00\x00\x01\x00\x00."), mib, "refused"},
		{"a pickled number of 2^31 bytes", "a.pt", []byte("\x80\x02\x8b\xff\xff\xff\x7f."), mib, "refused"},
		{"a pickle of ever more values", "a.pt", []byte("\x80\x02" + strings.Repeat("N", 4*mib) + "."), 256 * mib, "neither"},
		{"a pickle of ever more lists", "a.pt", []byte("\x80\x02]" + strings.Repeat("]a", 4*mib) + "."), 512 * mib, "neither"},
		{"a pickle of ever deeper tuples", "a.pt", []byte("\x80\x02N" + strings.Repeat("\x85", mib) + "."), 256 * mib, "proven"},
		{"a pickle of ever more marks", "a.pt", []byte("\x80\x02" + strings.Repeat("(", 4*mib) + "."), 256 * mib, "neither"},
		{"a pickle that doubles 40 times", "a.pt", []byte("\x80\x02}K\x00N" + strings.Repeat("2\x86", 40) + "s."), 64 * mib, "proven"},
		{"a safetensors header of 2^40 bytes", "a.safetensors", append(le.AppendUint64(nil, 1<<40), "{}"...), mib, "refused"},
		{"a safetensors header of 2^63 bytes", "a.safetensors", append(le.AppendUint64(nil, 1<<63), "{}"...), mib, "refused"},
		{"a JSON text of ever deeper arrays", "a.json", bytes.Repeat([]byte("["), 4*mib), 16 * mib, "neither"},
		{"a JSON text of many values", "a.json", []byte("[" + strings.Repeat("0,", 4*mib) + "0]"), 128 * mib, "proven"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res := check(c.file, c.data)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > c.allowed {
			t.Errorf("%s: %d MiB allocated, %d allowed", c.name, spent/mib, c.allowed/mib)
		}
		got := "neither"
		switch {
		case res.Problem != "":
			got = "refused"
		case res.Proven:
			got = "proven"
		}
		if got != c.want {
			t.Errorf("%s: %s (%q), want %s", c.name, got, res.Problem, c.want)
		}
	}
}

// A shared value is copied once for each place that it is in, so a pickle of
// some bytes could become a tree of any size.
func TestPlainIsBounded(t *testing.T) {
	p, err := scan([]byte("\x80\x02}X\x01\x00\x00\x00aN" + strings.Repeat("2\x86", 40) + "s."))
	if err != nil {
		t.Fatal(err)
	}
	var count func(v any) int
	count = func(v any) int {
		n := 1
		if items, ok := v.([]any); ok {
			for _, item := range items {
				n += count(item)
			}
		}
		return n
	}
	if n := count(plain(p.top)["a"]); n > maxScalars {
		t.Errorf("%d values", n)
	}
}
