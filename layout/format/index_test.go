package format

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func index(name string, data []byte) (Needs, error) {
	return Index(name, bytes.NewReader(data), int64(len(data)))
}

// The index of a real checkpoint of two ranks asks for exactly the bytes that
// are there.
func TestIndexOfDCP(t *testing.T) {
	f := fixtureNamed(t, ".metadata")
	got, err := index("step-500/.metadata", f.data)
	if err != nil {
		t.Fatal(err)
	}
	want := Needs{}
	for _, name := range []string{"__0_0.distcp", "__1_0.distcp"} {
		info, err := os.Stat(filepath.Join("../../testdata/formats/dcp", name))
		if err != nil {
			t.Fatal(err)
		}
		want[name] = info.Size()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestIndexOfJSON(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Needs
		problem    string
	}{
		{"model.safetensors.index.json", `{"metadata": {"total_size": 12}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}}`,
			Needs{"model-00001-of-00002.safetensors": 0, "model-00002-of-00002.safetensors": 0}, ""},
		{"pytorch_model.bin.index.json", `{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}`, Needs{"pytorch_model-00001-of-00001.bin": 0}, ""},
		{"model.weights.json", `{"weight_map": {"/layers/dense/vars": ["model_00000.weights.h5", "model_00001.weights.h5"]}}`,
			Needs{"model_00000.weights.h5": 0, "model_00001.weights.h5": 0}, ""},
		{"a.index.json", `{"weight_map": {"a": "old"}, "weight_map": {"a": "new"}}`, Needs{"new": 0}, ""}, // as Python reads it
		{"a.index.json", `{"weight_map": {}}`, Needs{}, ""},
		{"a.index.json", `{"weight_map": {"a": "./below/x.bin"}}`, Needs{"below/x.bin": 0}, ""},
		{"a.index.json", `{"entries": []}`, nil, ""}, // another program's
		{"a.index.json", `[1, 2]`, nil, ""},
		{"config.json", `{"weight_map": {"a": "b"}}`, nil, ""},
		{"a.index.json", `{"weight_map": {"a": "b"`, nil, "cut short: the JSON text does not end"},
		{"a.index.json", ``, nil, "cut short: the JSON text does not end"},
		{"a.index.json", `{"weight_map": {"a": "b"}} {`, nil, "damaged: bad JSON at byte 27 (something follows its end)"},
		{"a.index.json", `{"weight_map": {"a": 1}}`, nil, "damaged: it does not say in which file a weight lies"},
		{"a.index.json", `{"weight_map": {"a": "../b"}}`, nil, `damaged: it names the file "../b", which is not in its directory`},
		{"a.index.json", `{"weight_map": {"a": "/etc/passwd"}}`, nil, `damaged: it names the file "/etc/passwd", which is not in its directory`},
		{"a.index.json", `{"weight_map": {"a": ""}}`, nil, `damaged: it names the file ".", which is not in its directory`},
	} {
		got, err := index(c.name, []byte(c.text))
		if problem := said(err); problem != c.problem || problem == "" && !cmp.Equal(c.want, got) {
			t.Errorf("%s %s: %v, %q; want %v, %q", c.name, c.text, got, problem, c.want, c.problem)
		}
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A .metadata that is cut anywhere, or that lost its content, says so.
func TestIndexOfDCPRefusesEveryCut(t *testing.T) {
	f := fixtureNamed(t, ".metadata")
	for n := 1; n < len(f.data); n++ {
		if needs, err := index(f.name, f.data[:n]); err == nil {
			t.Fatalf("first %d of %d bytes: %v", n, len(f.data), needs)
		}
	}
	if needs, err := index(f.name, make([]byte, 4096)); err == nil {
		t.Errorf("zeros: %v", needs)
	}
}

func TestIndexOfDCPFromWhatOthersWrite(t *testing.T) {
	info := func(name string, offset, length string) string {
		return "cother.module\n_StorageInfo\n)\x81}(X\x0d\x00\x00\x00relative_pathX" + string(byteString(len(name))) + "\x00\x00\x00" + name +
			"X\x06\x00\x00\x00offset" + offset + "X\x06\x00\x00\x00length" + length + "ub"
	}
	for _, c := range []struct {
		name, file, data string
		want             Needs
		problem          string
	}{
		{"of one rank", "__3.metadata", "\x80\x02]" + info("__3_0.distcp", "K\x05", "K\x07") + "a.", Needs{"__3_0.distcp": 12}, ""},
		{"of another class", ".metadata", "\x80\x02]" + strings.Replace(info("a", "K\x05", "K\x07"), "_Sto", "_sto", 1) + "a.", Needs{}, ""},
		{"of another program", ".metadata", `{"version": 3}`, nil, ""},
		{"empty, of whoever", ".metadata", "", nil, ""},
		{"a file elsewhere", ".metadata", "\x80\x02]" + info("../x", "K\x05", "K\x07") + "a.", nil, `damaged: it names the file "../x", which is not in its directory`},
		{"a negative offset", ".metadata", "\x80\x02]" + info("x", "J\xff\xff\xff\xff", "K\x07") + "a.", nil, "damaged: it does not say where its data lies"},
		{"an end beyond all files", ".metadata", "\x80\x02]" + info("x", "K\x01", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f") + "a.", nil, "damaged: it does not say where its data lies"},
		{"no offset", ".metadata", "\x80\x02]" + info("x", "N", "K\x07") + "a.", nil, "damaged: it does not say where its data lies"},
		{"more after the end", ".metadata", "\x80\x02]" + info("x", "K\x01", "K\x07") + "a.more", nil, "damaged: something follows its end"},
	} {
		got, err := index(c.file, []byte(c.data))
		if problem := said(err); problem != c.problem || problem == "" && !cmp.Equal(c.want, got) {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, got, problem, c.want, c.problem)
		}
	}
}
