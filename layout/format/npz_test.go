package format

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
)

// npz is an archive with one array.
func npz(t *testing.T, method uint16, header string, content int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	out, err := w.CreateHeader(&zip.FileHeader{Name: "a.npy", Method: method})
	if err != nil {
		t.Fatal(err)
	}
	text := "\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + strings.Repeat("\x01", content)
	if _, err := out.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNPZ(t *testing.T) {
	header := func(descr, shape string) string {
		return "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }\n"
	}
	for _, c := range []struct {
		name, header string
		content      int
		problem      string
	}{
		{"two dimensions", header("'<f4'", "(2, 3)"), 24, ""},
		{"one dimension", header("'|i1'", "(5,)"), 5, ""},
		{"text", header("'<U3'", "(2,)"), 24, ""},
		{"objects, which are pickled", header("'|O'", "(2,)"), 77, ""},
		{"a structure", header("[('x', '<f4'), ('y', '<i2')]", "(2,)"), 12, ""},
		{"too little", header("'<f4'", "(2, 3)"), 23, `damaged: array "a.npy" has 23 bytes of 24`},
		{"too much", header("'<f4'", "(2, 3)"), 25, `damaged: array "a.npy" has 25 bytes of 24`},
	} {
		res := check("arrays.npz", npz(t, zip.Store, c.header, c.content))
		if res.Problem != c.problem || res.Proven != (c.problem == "") {
			t.Errorf("%s: %+v, want %q", c.name, res, c.problem)
		}
	}
	compressed := npz(t, zip.Deflate, header("'<f4'", "(2, 3)"), 24)
	res := Verify("arrays.npz", bytes.NewReader(compressed), int64(len(compressed)))
	if !res.Verified {
		t.Errorf("compressed: %+v", res)
	}
}
