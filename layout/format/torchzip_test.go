package format

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
)

func TestTorchZipOfNewerTorch(t *testing.T) {
	f := writeTorch(t, []storage{{"UntypedStorage", "0", 12}, {"BFloat16Storage", "1", 3}, {"FloatStorage", "2", 0}}, newRecords...)
	res := Check("a.pt", f, f.size)
	if !res.Proven || res.Problem != "" || res.Scalars["epoch"] != int64(3) {
		t.Errorf("%+v", res)
	}
}

// 500 MB of tensors: only headers, directory and pickle may be read.
func TestTorchZipReadsKilobytes(t *testing.T) {
	f := writeTorch(t, manyStorages(500, 1), newRecords...)
	r := &countingReader{ReaderAt: f}
	res := Check("pytorch_model.bin", r, f.size)
	if !res.Proven || res.Problem != "" {
		t.Fatalf("%+v", res)
	}
	if r.bytes > f.size/1000 {
		t.Errorf("%d of %d bytes read", r.bytes, f.size)
	}
}

// Numbers of more than 32 bits lie elsewhere in a zip.
func TestTorchZipBeyond4GiB(t *testing.T) {
	const gib = 1 << 30
	f := writeTorch(t, []storage{{"FloatStorage", "0", 5 * gib / 4}, {"ByteStorage", "1", 7}}, newRecords...)
	if res := Check("a.pt", f, f.size); !res.Proven || f.size < 5*gib {
		t.Errorf("%d bytes: %+v", f.size, res)
	}
	if res := Check("a.pt", f, f.size-1); res.Problem == "" {
		t.Errorf("cut by a byte: %+v", res)
	}
}

// TorchScript compresses its pickles.
func TestTorchZipWithDeflatedPickle(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string][]byte{"m/data.pkl": torchPickle(nil), "m/version": []byte("3\n")} {
		out, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if res := check("m.pt", b.Bytes()); !res.Proven || res.Scalars["epoch"] != int64(3) {
		t.Errorf("%+v", res)
	}
}

func TestTorchZipRefuses(t *testing.T) {
	one := []storage{{"FloatStorage", "0", 4}}
	for _, c := range []struct {
		name    string
		file    *sparseFile
		problem string
	}{
		{"no version record", writeTorch(t, one), "damaged: it has no version record, torch.load refuses it"},
		{"a shorter storage", lying(t, 5), `damaged: tensor data "0" has 16 bytes of 20`},
		{"a longer storage", lying(t, 3), `damaged: tensor data "0" has 16 bytes of 12`},
		{"an impossible storage", lying(t, -1), `damaged: tensor data "0" has a negative size`},
	} {
		res := Check("a.pt", c.file, c.file.size)
		if res.Problem != c.problem {
			t.Errorf("%s: %q, want %q", c.name, res.Problem, c.problem)
		}
	}
}

// lying is a file whose pickle claims numel elements for a storage of four.
func lying(t *testing.T, numel int64) *sparseFile {
	t.Helper()
	f := writeTorch(t, []storage{{"FloatStorage", "0", 4}}, "version")
	honest := torchPickle([]storage{{"FloatStorage", "0", 4}})
	for i, p := range f.parts {
		f.parts[i].data = bytes.Replace(p.data, honest, torchPickle([]storage{{"FloatStorage", "0", numel}}), 1)
	}
	return f
}

// A dtype that is not known yet can be checked for presence only.
func TestTorchZipOfUnknownStorage(t *testing.T) {
	known := writeTorch(t, []storage{{"FloatStorage", "0", 4}}, "version")
	for i, p := range known.parts {
		known.parts[i].data = bytes.ReplaceAll(p.data, []byte("\nFloatStorage"), []byte("\nFancyStorage"))
	}
	if res := Check("a.pt", known, known.size); !res.Proven {
		t.Errorf("%+v", res)
	}
}

func TestZipWithoutPickleIsPlain(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	out, err := w.Create("config.json") // deflated
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte(strings.Repeat("keras ", 100))); err != nil {
		t.Fatal(err)
	}
	if err := w.SetComment("a comment"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"model.zip", "model.pt"} {
		res := Verify(name, bytes.NewReader(b.Bytes()), int64(b.Len()))
		if res.Format != Zip || !res.Proven || !res.Verified {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

// torch.serialization.set_crc32_options(False) leaves the checksums at zero.
func TestTorchZipWithoutChecksums(t *testing.T) {
	f := fixtureNamed(t, "torch_zip.pth")
	records, err := zipRecords(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := findDirectory(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil {
		t.Fatal(err)
	}
	at := int(dir.offset)
	for range records {
		copy(f.data[at+16:], "\x00\x00\x00\x00")
		at += bytes.Index(f.data[at+4:], []byte("PK")) + 4
	}
	res := Verify(f.name, bytes.NewReader(f.data), int64(len(f.data)))
	if !res.Proven || res.Checked || res.Verified || res.Problem != "" {
		t.Errorf("%+v", res)
	}
}

func BenchmarkCheckTorchZip(b *testing.B) {
	f := writeTorch(b, manyStorages(500, 1), newRecords...)
	for b.Loop() {
		if res := Check("a.pt", f, f.size); !res.Proven {
			b.Fatal(res)
		}
	}
}
