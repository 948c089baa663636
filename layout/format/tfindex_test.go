package format

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Two shards, a tensor in slices, and a table of many blocks.
func TestIndexOfTensorFlow(t *testing.T) {
	for name, want := range map[string]Needs{
		"ckpt-7.index":         {"ckpt-7.data-00000-of-00002": 176, "ckpt-7.data-00001-of-00002": 836},
		"model.ckpt-300.index": {"model.ckpt-300.data-00000-of-00001": 100 * 64},
	} {
		f := fixtureNamed(t, name)
		got, err := index("run/"+name, f.data)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		for n := 4; n < len(f.data); n++ {
			if got, err := index(name, f.data[:n]); err == nil {
				t.Fatalf("%s, first %d of %d bytes: %v", name, n, len(f.data), got)
			}
		}
	}
}

// Every byte is covered by a checksum or says where a block has to be, but for
// those that pad the footer.
func TestTFIndexFindsEveryFlippedByte(t *testing.T) {
	f := fixtureNamed(t, "ckpt-7.index")
	for i := range f.data {
		padding := i >= len(f.data)-lenTableFooter && i < len(f.data)-len(tableMagic) && f.data[i] == 0
		f.data[i] ^= 0x20
		if res := check(f.name, f.data); res.Proven && !padding {
			t.Fatalf("byte %d of %d: %+v", i, len(f.data), res)
		}
		f.data[i] ^= 0x20
	}
}

// aTable is a table of blocks, each a run of entries without their restarts.
// One that begins with "at " is the handle to list instead of a block.
func aTable(compression byte, blocks ...string) []byte {
	var b []byte
	add := func(content string) (handle string) {
		content += "\x00\x00\x00\x00\x01\x00\x00\x00"
		handle = string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(b))), uint64(len(content))))
		content += string(byteString(int(compression)))
		sum := crc32.Checksum([]byte(content), castagnoli)
		b = binary.LittleEndian.AppendUint32(append(b, content...), (sum>>15|sum<<17)+0xa282ead8)
		return handle
	}
	list := ""
	for _, block := range blocks {
		handle, isHandle := strings.CutPrefix(block, "at ")
		if !isHandle {
			handle = add(block)
		}
		list += tableEntry("k", handle)
	}
	footer := add("") + add(list)
	footer += strings.Repeat("\x00", lenTableFooter-len(tableMagic)-len(footer))
	return append(append(b, footer...), tableMagic...)
}

func tableEntry(key, value string) string {
	return "\x00" + string(byteString(len(key))) + string(byteString(len(value))) + key + value
}

func TestTFIndexRefuses(t *testing.T) {
	head := tableEntry("", "\x08\x01")
	const nowhere, cannot = "damaged: it does not say where a tensor lies", "damaged: a block of it lies where it cannot"
	for _, c := range []struct {
		name    string
		data    []byte
		want    Needs
		problem string
	}{
		{"an empty checkpoint", aTable(0, head), Needs{}, ""},
		{"a tensor", aTable(0, head+tableEntry("a", "\x20\x05\x28\x07")), Needs{"c.data-00000-of-00001": 12}, ""},
		{"two blocks", aTable(0, head, tableEntry("a", "\x28\x07")), Needs{"c.data-00000-of-00001": 7}, ""},
		{"compressed", aTable(1, head), nil, ""},
		{"a shard too many", aTable(0, head+tableEntry("a", "\x18\x01")), nil, nowhere},
		{"a negative shard", aTable(0, head+tableEntry("a", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")), nil, nowhere},
		{"an end beyond all files", aTable(0, head+tableEntry("a", "\x20\x01\x28\xff\xff\xff\xff\xff\xff\xff\xff\x7f")), nil, nowhere},
		{"a field cut", aTable(0, head+tableEntry("a", "\x12\x05")), nil, nowhere},
		{"a number cut", aTable(0, head+tableEntry("a", "\x20\xff")), nil, nowhere},
		{"a group", aTable(0, head+tableEntry("a", "\x0b")), nil, nowhere},
		{"2^31 shards", aTable(0, tableEntry("", "\x08\x80\x80\x80\x80\x08")), nil, "damaged: it does not say how many shards there are"},
		{"a key that shares too much", aTable(0, head+"\x01\x00\x00"), nil, "damaged: a block of it makes no sense"},
		{"a value beyond the block", aTable(0, head+"\x00\x00\x7f"), nil, "damaged: a block of it makes no sense"},
		{"the same block twice", aTable(0, head, "at \x00\x0d"), nil, cannot},
		{"a block in the footer", aTable(0, head, "at \x7f\x7f"), nil, cannot},
		{"a block at 2^64", aTable(0, head, "at \xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x0a"), nil, cannot},
		{"a handle cut", aTable(0, head, "at \xff"), nil, "damaged: it does not say where a block of it lies"},
		{"too short", []byte("\x00\x00\x02\x08\x01"), nil, "cut short: its footer is missing"},
		{"of another program", []byte(strings.Repeat("faiss", 20)), nil, ""},
	} {
		got, err := index("c.index", c.data)
		if problem := said(err); problem != c.problem || problem == "" && !cmp.Equal(c.want, got) {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, got, problem, c.want, c.problem)
		}
	}
}
