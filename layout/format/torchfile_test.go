package format

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"testing"
)

// torchPickle is the data.pkl of {"epoch": 3, "tensors": [t0, t1, …]}, as
// torch.save pickles it.
func torchPickle(storages []storage) []byte {
	var b bytes.Buffer
	text := func(s string) {
		b.WriteByte(opBinUnicode)
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		b.WriteString(s)
	}
	integer := func(v int64) {
		b.WriteString("\x8a\x08")
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(v)))
	}
	memo := uint32(0)
	put := func() {
		b.WriteByte(opLongBinPut)
		b.Write(binary.LittleEndian.AppendUint32(nil, memo))
		memo++
	}
	b.WriteString("\x80\x02}")
	put()
	b.WriteString("(")
	text("epoch")
	integer(3)
	text("tensors")
	b.WriteString("](")
	for _, s := range storages {
		b.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		text("storage")
		b.WriteString("ctorch\n" + s.class + "\n")
		text(s.key)
		put()
		text("cpu")
		integer(s.numel)
		b.WriteString("t")
		put()
		b.WriteString("QK\x00")
		integer(s.numel)
		b.WriteString("\x85")
		put()
		b.WriteString("K\x01\x85")
		put()
		b.WriteString("\x89ccollections\nOrderedDict\n)R")
		put()
		b.WriteString("t")
		put()
		b.WriteString("R")
		put()
	}
	b.WriteString("eu.")
	return b.Bytes()
}

// writeTorch writes a zip as torch.save does since 2.x. The contents of the
// storages are holes; extra records get their name as content.
func writeTorch(t testing.TB, storages []storage, extra ...string) *sparseFile {
	t.Helper()
	f := &sparseFile{}
	w := zip.NewWriter(f)
	add := func(name string, size int64, content []byte) {
		sum := uint32(1) // of a hole, nobody looks
		if content != nil {
			sum = crc32.ChecksumIEEE(content)
		}
		out, err := w.CreateRaw(&zip.FileHeader{
			Name: "archive/" + name, CRC32: sum, Extra: []byte("FB\x02\x00ZZ"),
			CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
		})
		if err != nil {
			t.Fatal(err)
		}
		if content == nil {
			if err := w.Flush(); err != nil { // of the header
				t.Fatal(err)
			}
			f.hole = true
			content = make([]byte, min(size, 1<<20))
		}
		for left := size; left > 0; left -= int64(len(content)) {
			if _, err := out.Write(content[:min(left, int64(len(content)))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		f.hole = false
	}
	p := torchPickle(storages)
	add("data.pkl", int64(len(p)), p)
	for _, name := range extra {
		add(name, int64(len(name)), []byte(name))
	}
	for _, s := range storages {
		size, _, _ := s.bytes()
		add("data/"+s.key, size, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

// newRecords are what torch 2.9 writes besides data.
var newRecords = []string{".format_version", ".storage_alignment", "byteorder", "version", ".data/serialization_id"}

// manyStorages are n storages of mib MiB each.
func manyStorages(n, mib int) []storage {
	var all []storage
	for i := range n {
		all = append(all, storage{class: "FloatStorage", key: strconv.Itoa(i), numel: int64(mib) << 18})
	}
	return all
}

// A sparseFile keeps what is written to it, but for holes.
type sparseFile struct {
	parts []part
	size  int64
	hole  bool // large writes are holes
}

type part struct {
	off  int64
	data []byte
}

func (f *sparseFile) Write(b []byte) (int, error) {
	if !f.hole || len(b) < 4096 {
		f.parts = append(f.parts, part{f.size, slices.Clone(b)})
	}
	f.size += int64(len(b))
	return len(b), nil
}

func (f *sparseFile) ReadAt(b []byte, off int64) (int, error) {
	n := int(min(int64(len(b)), max(0, f.size-off)))
	clear(b[:n])
	i, _ := slices.BinarySearchFunc(f.parts, off, func(p part, off int64) int {
		if p.off+int64(len(p.data)) <= off {
			return -1
		}
		return 1
	})
	for ; i < len(f.parts) && f.parts[i].off < off+int64(n); i++ {
		p := f.parts[i]
		if skip := off - p.off; skip > 0 {
			copy(b[:n], p.data[skip:])
		} else {
			copy(b[-skip:n], p.data)
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
