package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func scan(data []byte) (*pickle, error) {
	return scanPickle(newCursor(bytes.NewReader(data), 0, int64(len(data))))
}

// Every protocol gives the same plain values; what needs code is opaque.
func TestScanPickleReadsEveryProtocol(t *testing.T) {
	want := Scalars{
		"epoch": int64(3), "step": int64(500), "neg": int64(-1), "big": int64(1) << 40, "minus": int64(-1) << 40,
		"huge": Opaque{}, "f": 0.5, "s": "é", "none": nil, "yes": true, "no": false,
		"list":  []any{int64(1), []any{int64(2)}},
		"tuple": []any{int64(1), int64(2), int64(3), int64(4)},
		"bytes": Opaque{}, "array": Opaque{}, "long": strings.Repeat("x", 300), "7": "seven",
		"od": map[string]any{"a": int64(1)}, "dd": map[string]any{"b": int64(2)},
		"counter": map[string]any{"a": int64(2), "b": int64(1)},
		"set":     Opaque{}, "frozen": Opaque{}, "complex": Opaque{}, "path": Opaque{},
	}
	for _, f := range fixtures(t) {
		if !strings.HasPrefix(f.name, "objects_") {
			continue
		}
		got := check(f.name, f.data).Scalars
		if self, ok := got["self"].(map[string]any); !ok || self["epoch"] != int64(3) {
			t.Errorf("%s: a dict that holds itself: %T", f.name, got["self"])
		}
		delete(got, "self")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", f.name, d)
		}
	}
}

func TestScanPickleNotesStorages(t *testing.T) {
	want := []storage{{"FloatStorage", "0", 32}, {"UntypedStorage", "1", 7}}
	p, err := scan(torchPickle(append(want, want[0]))) // one is shared
	if err != nil {
		t.Fatal(err)
	}
	var got []storage
	for s := range p.storages {
		got = append(got, s)
	}
	slices.SortFunc(got, func(a, b storage) int { return strings.Compare(a.key, b.key) })
	if d := cmp.Diff(want, got, cmp.AllowUnexported(storage{})); d != "" {
		t.Error(d)
	}
}

func TestScanPickleRefuses(t *testing.T) {
	for _, c := range []struct{ name, data string }{
		{"nothing", ""},
		{"no stop", "\x80\x02N"},
		{"stop without a value", "\x80\x02."},
		{"an unknown opcode", "\x80\x02\xff."},
		{"a text opcode of protocol 0", "I1\n."},
		{"a tuple of too few", "\x80\x02N\x86."},
		{"a tuple across a mark", "\x80\x02N(N\x86."},
		{"a tuple without a mark", "\x80\x02Nt."},
		{"an item for nothing", "\x80\x02NNs."},
		{"a value that was never stored", "\x80\x02h\x05."},
		{"storing nothing", "\x80\x02q\x05."},
		{"a mark that stays open", "\x80\x02N(."},
		{"a name without an end", "\x80\x02cmodule"},
		{"a name that is a number", "\x80\x04K\x01K\x02\x93."},
		{"a string beyond the end", "\x80\x02X\x05\x00\x00\x00ab."},
		{"a huge string", "\x80\x04\x8d\x00\x00\x00\x00\x00\x01\x00\x00."},
		{"a string of negative length", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff."},
		{"a mark taken back twice", "\x80\x02N(01."},
		{"a huge number", "\x80\x02\x8b\xff\xff\xff\x7f."},
	} {
		if p, err := scan([]byte(c.data)); !errors.As(err, new(Damage)) {
			t.Errorf("%s: %v, %v; want damage", c.name, p, err)
		}
	}
}

// Opcodes that the pickler hardly writes, each around the same value.
func TestScanPickleReadsRareOpcodes(t *testing.T) {
	for _, c := range []struct{ name, data string }{
		{"DUP and POP", "K\x0720"},
		{"POP of a MARK", "K\x07(0"},
		{"POP_MARK", "K\x07(NN1"},
		{"LONG_BINPUT and LONG_BINGET", "K\x07r\x00\x01\x00\x000j\x00\x01\x00\x00"},
		{"MEMOIZE", "K\x07\x940h\x00"},
		{"EXT1", "\x82\x010K\x07"},
		{"INST", "(NNimodule\nname\n0K\x07"},
		{"OBJ", "(cmodule\nname\nNo0K\x07"},
		{"NEWOBJ_EX", "NNN\x920K\x07"},
		{"NEXT_BUFFER and READONLY_BUFFER", "\x97\x980K\x07"},
		{"a string too long to keep", "X\x00\x00\x01\x00" + strings.Repeat("x", 1<<16) + "0K\x07"},
		{"bytes too long to keep", "B\x00\x00\x01\x00" + strings.Repeat("x", 1<<16) + "0K\x07"},
	} {
		p, err := scan([]byte("\x80\x05" + c.data + "."))
		if err != nil || p.top != any(int64(7)) {
			t.Errorf("%s: %v, %v", c.name, p, err)
		}
	}
}

func TestScanPickleNumpyNumbers(t *testing.T) {
	for _, c := range []struct {
		code, state, data string
		want              any
	}{
		{"f8", "<", "\x00\x00\x00\x00\x00\x00\xe0\x3f", 0.5},
		{"f8", ">", "\x3f\xe0\x00\x00\x00\x00\x00\x00", 0.5},
		{"f4", "<", "\x00\x00\x00\x3f", 0.5},
		{"i8", "<", "\xfe\xff\xff\xff\xff\xff\xff\xff", int64(-2)},
		{"i4", "<", "\xfe\xff\xff\xff", int64(-2)},
		{"u1", "|", "\xfe", int64(254)},
		{"b1", "|", "\x01", true},
		{"u8", "<", "\xff\xff\xff\xff\xff\xff\xff\xff", Opaque{}},
		{"i4", "<", "\x01", Opaque{}}, // too few bytes
		{"V8", "<", "\x01\x01\x01\x01\x01\x01\x01\x01", Opaque{}},
	} {
		short := func(s string) string { return "\x8c" + string(rune(len(s))) + s }
		data := "\x80\x04}" + short("v") + "cnumpy._core.multiarray\nscalar\n" +
			"cnumpy\ndtype\n" + short(c.code) + "\x89\x88\x87R" + "K\x03" + short(c.state) + "N\x87b" +
			"C" + string(byteString(len(c.data))) + c.data + "\x86Rs."
		p, err := scan([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", c.code, err)
			continue
		}
		if got := plain(p.top, nil)["v"]; got != c.want {
			t.Errorf("%s%s %q: %v, want %v", c.state, c.code, c.data, got, c.want)
		}
	}
}

func byteString(n int) []byte { return []byte{byte(n)} }

// What a pickler writes of plain values, the scanner reads back.
func TestScanPickleReadsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := plainDict(3).Draw(t, "value")
		p, err := scan(appendPickle([]byte("\x80\x04"), want, '.'))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(Scalars(want), plain(p.top, nil)); d != "" {
			t.Fatal(d)
		}
	})
}

func plainDict(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.String(), plainValue(depth-1), 0, 5)
}

func plainValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Float64().AsAny(),
		rapid.String().AsAny(),
	}
	if depth > 0 {
		kinds = append(kinds, plainDict(depth).AsAny(), rapid.SliceOfN(plainValue(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

// appendPickle writes a plain value, then what follows it.
func appendPickle(b []byte, v any, then byte) []byte {
	le := binary.LittleEndian
	switch v := v.(type) {
	case nil:
		b = append(b, opNone)
	case bool:
		op := byte(opNewFalse)
		if v {
			op = opNewTrue
		}
		b = append(b, op)
	case int64:
		b = le.AppendUint64(append(b, opLong1, 8), uint64(v))
	case float64:
		b = binary.BigEndian.AppendUint64(append(b, opBinFloat), math.Float64bits(v))
	case string:
		b = append(le.AppendUint64(append(b, opBinUnicode8), uint64(len(v))), v...)
	case []any:
		b = append(b, opEmptyList, opMark)
		for _, item := range v {
			b = appendPickle(b, item, opMemoize)
		}
		b = append(b, opAppends)
	case map[string]any:
		b = append(b, opEmptyDict)
		for key, item := range v {
			b = appendPickle(b, key, opMemoize)
			b = appendPickle(b, item, opSetItem)
		}
	}
	return append(b, then)
}

// A memo is a map, however the numbers come.
func TestMemo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m memo
		want := map[uint32]any{}
		for i, at := range rapid.SliceOf(rapid.Uint32Max(20)).Draw(t, "numbers") {
			m.put(at, i)
			want[at] = i
			if m.len() != len(want) {
				t.Fatalf("%d entries, want %d", m.len(), len(want))
			}
		}
		for at := range uint32(22) {
			v, ok := m.get(at)
			if w, there := want[at]; ok != there || v != w {
				t.Fatalf("%d: %v, %v; want %v, %v", at, v, ok, w, there)
			}
		}
	})
}
