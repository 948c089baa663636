package format

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
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
	x32k := "X\x00\x80\x00\x00" + strings.Repeat("x", 32<<10)
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
		{"a pickle of ever more entries of the memo", "a.pt", []byte("\x80\x02N" + strings.Repeat("\x94", 4*mib) + "."), 256 * mib, "neither"},
		{"a pickle of lists as long as the stack", "a.pt", []byte("\x80\x02" + strings.Repeat("("+strings.Repeat("N", mib-1)+"l", 8) + "."), maxAllocated, "neither"},
		{"a pickle that encodes one text again and again", "a.pt", []byte("\x80\x02" + x32k + "q\x00X\x06\x00\x00\x00latin1q\x01c_codecs\nencode\nq\x02" +
			strings.Repeat("h\x02h\x00h\x01\x86R", mib) + "."), 256 * mib, "neither"},
		{"a pickle that inflates to 16 MiB", "a.pt", deflated("m/data.pkl", []byte("\x80\x02"+strings.Repeat("]", maxInflated-3)+".")), maxAllocated, "neither"},
		{"a pickle that inflates to 128 MiB", "a.pt", deflated("m/data.pkl", make([]byte, 128*mib)), 2 * mib, "neither"},
		{"a pickle that doubles 40 times", "a.pt", []byte("\x80\x02}K\x00N" + strings.Repeat("2\x86", 40) + "s."), 64 * mib, "proven"},
		{"a safetensors header of 2^40 bytes", "a.safetensors", append(le.AppendUint64(nil, 1<<40), "{}"...), mib, "refused"},
		{"a safetensors header of 2^63 bytes", "a.safetensors", append(le.AppendUint64(nil, 1<<63), "{}"...), mib, "refused"},
		{"a safetensors tensor of 2^64 bytes", "a.safetensors", safetensors(`{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), mib, "refused"},
		{"a safetensors tensor at 2^63", "a.safetensors", safetensors(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775807,9223372036854775808]}}`, 0), mib, "refused"},
		{"a safetensors header of many names", "a.safetensors", safetensors("{"+strings.Repeat(`"a":{},`, 4*mib)+`"a":{}}`, 0), maxAllocated, "neither"},
		{"an array of 2^64 bytes", "a.npz", stored("a.npy", "\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}  "), mib, "proven"},
		{"an array with a header of 2^32 bytes", "a.npz", stored("a.npy", "\x93NUMPY\x02\x00\xff\xff\xff\xff{}"), mib, "refused"},
		{"an HDF5 file that ends at 2^64", "a.h5", []byte(hdf5Signature + "\x02\x08\x08\x00" + strings.Repeat("\xff", 32)), mib, "refused"},
		{"an HDF5 file of numbers of 255 bytes", "a.h5", []byte(hdf5Signature + "\x02\xff\xff\x00" + strings.Repeat("\x00", 48)), mib, "refused"},
		{"an HDF5 file behind ever larger user blocks", "a.h5", make([]byte, 4*mib), mib, "refused"},
		{"a msgpack map of 2^32 values", "a.msgpack", []byte("\xdf\xff\xff\xff\xff\xa1a\x01"), mib, "refused"},
		{"msgpack bytes of 2^32", "a.msgpack", []byte("\x81\xa1a\xc6\xff\xff\xff\xff"), mib, "refused"},
		{"msgpack of ever deeper arrays", "a.msgpack", append([]byte("\x81\xa1a"), bytes.Repeat([]byte("\x91"), 4*mib)...), mib, "neither"},
		{"msgpack of ever more maps", "a.msgpack", []byte("\x81\xa1a\xdd\x00\x40\x00\x00" + strings.Repeat("\x80", 4*mib)), 16 * mib, "proven"},
		{"msgpack of ever more text", "a.msgpack", []byte("\x81\xa1a\xdd\x00\x40\x00\x00" + strings.Repeat("\xa3abc", 4*mib)), 64 * mib, "proven"},
		{"msgpack of more values than are read", "a.msgpack", []byte("\x81\xa1a\xdd\x02\x00\x00\x00" + strings.Repeat("\x01", 32*mib)), mib, "neither"},
		{"a history in JSON", "a.json", []byte(`{"a": [0` + strings.Repeat(`, {"a": [{}]}`, 2*mib) + `]}`), 128 * mib, "proven"},
		{"histories in JSON", "a.json", []byte(`{"a": 0` + strings.Repeat(`, "a": [[[0], [0]], [[0]]]`, mib) + `}`), maxAllocated, "proven"},
		{"a JSON text of ever more objects", "a.json", []byte("[" + strings.Repeat("{},", 20*mib) + "0]"), 128 * mib, "proven"},
		{"a JSON text of ever deeper arrays", "a.json", bytes.Repeat([]byte("["), 4*mib), 16 * mib, "neither"},
		{"a JSON text of many values", "a.json", []byte("[" + strings.Repeat("0,", 4*mib) + "0]"), 128 * mib, "proven"},
	} {
		var res Result
		if spent := spend(t, func() { res = check(c.file, c.data) }); spent > c.allowed {
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

// Indexes that ask for more than anybody would: known, refused, or let be.
func TestIndexLimitsHold(t *testing.T) {
	const mib = 1 << 20
	infos := func(n int, name func(i int) string) []byte {
		var b bytes.Buffer
		b.WriteString("\x80\x04\x8c\x01m\x8c\x0c_StorageInfo\x93\x94\x8c\x0drelative_path\x94\x8c\x06offset\x94\x8c\x06length\x94]")
		for i := range n {
			b.WriteString("h\x00)\x81}(h\x01\x8c\x0a" + name(i) + "h\x02M\xff\xffh\x03M\xff\xffuba")
		}
		b.WriteString(".")
		return b.Bytes()
	}
	numbered := func(i int) string { return fmt.Sprintf("__%06d_0", i)[:10] }
	shards := func(n int) []byte {
		var b bytes.Buffer
		b.WriteString(`{"weight_map": {"a": ["b"`)
		for i := range n {
			fmt.Fprintf(&b, `], "a": ["%d"`, i)
		}
		b.WriteString(`]}}`)
		return b.Bytes()
	}
	for _, c := range []struct {
		name, file string
		data       []byte
		allowed    uint64 // bytes allocated
		want       int    // files; -1 for damage
	}{
		{"many items in one file", ".metadata", infos(mib/2, func(int) string { return "__000000_0" }), 64 * mib, 1},
		{"as many files as may be", ".metadata", infos(maxNeeds, numbered), 128 * mib, maxNeeds},
		{"one file more", ".metadata", infos(maxNeeds+1, numbered), 128 * mib, 0},
		{"ever more dicts", ".metadata", []byte("\x80\x02" + strings.Repeat("}", 4*mib) + "."), 256 * mib, 0},
		{"ever more dicts for nothing", ".metadata", []byte("\x80\x02" + strings.Repeat("N}b0", mib) + "N."), 2 * mib, 0},
		{"a dict in many places", ".metadata", []byte("\x80\x02cm\n_StorageInfo\n)\x81}" + strings.Repeat("2", mib/2) + strings.Repeat("b", mib/2) + "b."), 64 * mib, -1},
		{"ever more lists and tuples", ".metadata", []byte("\x80\x02" + strings.Repeat("])\x86\x940", mib) + "N."), 32 * mib, 0},
		{"ever more names", ".metadata", []byte("\x80\x02" + strings.Repeat("cm\nn\n\x940", 2*mib) + "N."), 512 * mib, 0},
		{"as many shards as may be", "a.index.json", shards(maxNeeds - 1), 128 * mib, maxNeeds},
		{"one shard more", "a.index.json", shards(maxNeeds), 128 * mib, 0},
		{"many weights", "a.index.json", []byte(`{"weight_map": {"a": "b"` + strings.Repeat(`, "a": "b"`, mib) + `}}`), 64 * mib, 1},
		{"a shard list of lists", "a.index.json", []byte(`{"weight_map": {"a": ` + strings.Repeat("[", mib)), 16 * mib, 0},
		{"ever more tensors", "c.index", aTable(0, tableEntry("", "\x08\x01")+strings.Repeat("\x00\x00\x00", 4*mib)), 64 * mib, 1},
		{"ever longer keys", "c.index", aTable(0, tableEntry("", "\x08\x01")+longer(mib)), 64 * mib, 1},
		{"2^31 shards", "c.index", aTable(0, tableEntry("", "\x08\xff\xff\xff\xff\x07")), mib, 0},
	} {
		var needs Needs
		var err error
		if spent := spend(t, func() { needs, err = index(c.file, c.data) }); spent > c.allowed {
			t.Errorf("%s: %d MiB allocated, %d allowed", c.name, spent/mib, c.allowed/mib)
		}
		got := len(needs)
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %d files (%v), want %d", c.name, got, err, c.want)
		}
	}
}

// longer are entries of a table with keys that grow by a byte each.
func longer(n int) string {
	var b strings.Builder
	for i := range n {
		b.Write(binary.AppendUvarint(nil, uint64(i)))
		b.WriteString("\x01\x00k")
	}
	return b.String()
}

// deflated is a zip of one compressed record, and of torch's version beside it.
func deflated(name string, content []byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, rec := range []struct {
		name    string
		content []byte
	}{{name, content}, {"m/version", []byte("3\n")}} {
		out, err := w.Create(rec.name)
		if err == nil {
			_, err = out.Write(rec.content)
		}
		if err != nil {
			panic(err) // memory has no errors
		}
	}
	w.Close()
	return b.Bytes()
}

// stored is a zip of one record as it is.
func stored(name, content string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	out, _ := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	out.Write([]byte(content))
	w.Close()
	return b.Bytes()
}

// A small file can inflate to one of any size: that much is not verified, and no
// byte of it is inflated.
func TestVerifyInflatesWithinLimits(t *testing.T) {
	data := deflated("a", []byte("a"))
	at := bytes.LastIndex(data, []byte("PK\x01\x02")) // of the version, which comes last
	at = bytes.LastIndex(data[:at], []byte("PK\x01\x02"))
	huge := binary.LittleEndian.AppendUint64([]byte{1, 0, 8, 0}, 1<<50) // a zip64 field: the size of the content
	entry := slices.Concat(data[at:at+24], []byte{0xff, 0xff, 0xff, 0xff}, data[at+28:at+30], []byte{12, 0}, data[at+32:at+47], huge)
	end := bytes.LastIndex(data, []byte("PK\x05\x06"))
	bomb := slices.Concat(data[:at], entry, data[at+47:])
	binary.LittleEndian.PutUint32(bomb[end+12+12:], uint32(end+12-at))
	res := Verify("a.zip", bytes.NewReader(bomb), int64(len(bomb)))
	if res.Problem != "" || !res.Proven || !res.Checked || res.Verified {
		t.Errorf("%+v", res)
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
	if n := count(plain(p.top, nil)["a"]); n > maxScalars {
		t.Errorf("%d values", n)
	}
}

// What is kept of a pickle, at each limit and one beyond it. The top is kept
// all the same.
func TestPlainAtItsLimits(t *testing.T) {
	keys := func(n int) dict {
		d := dict{}
		for i := range n {
			d[fmt.Sprint(i)] = int64(i)
		}
		return d
	}
	deep := func(n int) any {
		v := any(int64(7))
		for range n {
			v = dict{"k": v}
		}
		return v
	}
	items := func(n int) *list { return &list{items: slices.Repeat([]any{int64(7)}, n)} }
	for _, c := range []struct {
		name, path string
		top        dict
		want       any
	}{
		{"a dict", "d.0", dict{"d": keys(maxKeys)}, int64(0)},
		{"a dict of parameters", "d", dict{"d": keys(maxKeys + 1)}, Opaque{}},
		{"a list", "l[0]", dict{"l": items(maxItems)}, int64(7)},
		{"the start of a history", "l[0]", dict{"l": items(maxItems + 1)}, nil},
		{"the end of a history", "l[1024]", dict{"l": items(maxItems + 1)}, int64(7)},
		{"a value deep down", strings.Repeat("k.", maxDepth) + "k", deep(maxDepth + 1).(dict), int64(7)},
		{"one deeper", strings.Repeat("k.", maxDepth) + "k", deep(maxDepth + 2).(dict), Opaque{}},
		{"text", "t", dict{"t": strings.Repeat("x", maxText)}, strings.Repeat("x", maxText)},
		{"more text", "t", dict{"t": strings.Repeat("x", maxText+1)}, Opaque{}},
		{"what comes after much text", "u", dict{"t": strings.Repeat("x", maxText), "u": "u"}, Opaque{}},
		{"a large top", "5", keys(maxScalars - 1), int64(5)},
		{"a top that is too large", "5", keys(maxScalars), nil},
		{"what is deep takes nothing from the top", "z", dict{"a": &list{items: slices.Repeat([]any{keys(maxKeys)}, maxItems)}, "z": int64(7)}, int64(7)},
	} {
		scalars := plain(c.top, nil)
		if got := get(scalars, c.path); got != c.want {
			t.Errorf("%s: %.20v, want %.20v", c.name, got, c.want)
		}
		if n := nodes(map[string]any(scalars)); n > maxScalars+1 {
			t.Errorf("%s: %d values are kept", c.name, n)
		}
	}
}
