package format

import (
	"encoding/binary"
	"strings"
	"testing"
)

// safetensors is a file with this header and n bytes of tensors.
func safetensors(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestSafetensors(t *testing.T) {
	const a = `"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}`
	for _, c := range []struct {
		name, header string
		n            int
		problem      string // "" for whole
	}{
		{"one tensor", `{` + a + `}`, 16, ""},
		{"no tensors", `{}`, 0, ""},
		{"padded", `{` + a + `}     `, 16, ""},
		{"in any order", `{"b": {"dtype": "U8", "shape": [3], "data_offsets": [16, 19]}, ` + a + `}`, 19, ""},
		{"an empty tensor", `{"z": {"dtype": "F32", "shape": [0, 4], "data_offsets": [16, 16]}, ` + a + `}`, 16, ""},
		{"less than a byte per element", `{"q": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}`, 2, ""},
		{"a dtype of tomorrow", `{"q": {"dtype": "F1", "shape": [4], "data_offsets": [0, 5]}}`, 5, ""},

		{"cut", `{` + a + `}`, 15, "cut short: its tensors have 16 bytes, 15 are there"},
		{"too long", `{` + a + `}`, 17, "damaged: 1 bytes follow its last tensor"},
		{"a gap", `{"b": {"dtype": "U8", "shape": [1], "data_offsets": [17, 18]}, ` + a + `}`, 18, `damaged: tensor "b" begins at 17 instead of 16`},
		{"an overlap", `{"b": {"dtype": "U8", "shape": [1], "data_offsets": [15, 16]}, ` + a + `}`, 16, `damaged: tensor "b" begins at 15 instead of 16`},
		{"a shape that disagrees", `{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]}}`, 16, `tensor "a"`},
		{"a shape beyond 64 bits", `{"a": {"dtype": "U8", "shape": [4294967296, 4294967296, 4], "data_offsets": [0, 0]}}`, 0, `tensor "a"`},
		{"a negative shape", `{"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}`, 1, `tensor "a"`},
		{"backwards", `{"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]}}`, 1, `tensor "a"`},
		{"no offsets", `{"a": {"dtype": "U8", "shape": [1]}}`, 1, `tensor "a"`},
		{"a list", `[]`, 0, "damaged: its header is no JSON object"},
		{"no JSON", "\x00\x00\x00\x00", 16, "damaged: bad JSON at byte 0 (a value is missing)"},
	} {
		res := check("model.safetensors", safetensors(c.header, c.n))
		if (res.Problem == "") != (c.problem == "") || !strings.Contains(res.Problem, c.problem) {
			t.Errorf("%s: %q, want %q", c.name, res.Problem, c.problem)
		}
		// Its length can have been set before a byte was written.
		if res.Proven {
			t.Errorf("%s: proven", c.name)
		}
	}
}
