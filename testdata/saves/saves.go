// Package saves is the trainer of the tests: checkpoints that can be told apart,
// the ways in which trainers replace one, and a reader that notices a torn one, or
// a mix of two.
package saves

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"ckptfs/testdata/runs"
)

// Files are what the guide's trainer writes, in its order.
var Files = []string{"config.json", "pytorch_model.bin", "training_state.pth"}

// Content makes the files of one save. They are real ones with a record or a key
// more: all carry the token, so that a mix of two saves shows. The pad makes
// writing them take a while.
func Content(token string, pad int) map[string][]byte {
	config, err := json.Marshal(map[string]any{"n": 39, "num_labels": 2, "token": token})
	if err != nil {
		panic(err)
	}
	return map[string][]byte{
		"config.json":        config,
		"pytorch_model.bin":  withRecord("pytorch_model.bin", token, pad),
		"training_state.pth": withRecord("training_state.pth", token, 0),
	}
}

// withRecord rewrites a torch zip of the real run with a token, and a pad.
func withRecord(name, token string, pad int) []byte {
	b, err := Stamp(original(name), token, pad)
	if err != nil {
		panic(err)
	}
	return b
}

// Stamp rewrites a torch zip with a record more that holds a token, and with one
// of some length where pad is above 0.
func Stamp(content []byte, token string, pad int) ([]byte, error) {
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	stem, _, _ := strings.Cut(r.File[0].Name, "/")
	add := func(name string, data []byte) error {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(data)
		}
		return err
	}
	for _, f := range r.File {
		data, err := record(f)
		if err == nil {
			err = add(f.Name, data)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := add(stem+"/token", []byte(token)); err != nil {
		return nil, err
	}
	if pad > 0 {
		if err := add(stem+"/pad", bytes.Repeat([]byte(token+"."), pad/(len(token)+1))); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// record reads one record of a zip and checks its CRC.
func record(f *zip.File) ([]byte, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

// original is a file of the real run, read once.
var original = func() func(string) []byte {
	var mu sync.Mutex
	known := map[string][]byte{}
	return func(name string) []byte {
		mu.Lock()
		defer mu.Unlock()
		if known[name] == nil {
			b, err := runs.FS.ReadFile(path.Join("enstack", "last_checkpoint", name))
			if err != nil {
				panic(err)
			}
			known[name] = b
		}
		return known[name]
	}
}()

// Load reads a whole checkpoint from one directory that is opened once, and
// returns its token, "" for one of the real run. Files of two saves, or a torn
// one, are an error.
func Load(dir string) (string, error) { return LoadAs(Overwrite, dir) }

// LoadAs does so for one that was saved in a pattern.
func LoadAs(pattern, dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	return LoadFrom(root, pattern, ".")
}

// LoadFrom does so for a directory below one that is open.
func LoadFrom(root *os.Root, pattern, dir string) (string, error) {
	files, first := FilesOf(pattern), ""
	for i, name := range files {
		b, err := root.ReadFile(path.Join(dir, name))
		if err != nil {
			return "", err
		}
		token, err := TokenOf(name, b)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if i > 0 && token != first {
			return "", fmt.Errorf("%s is of save %q, %s of save %q", files[0], first, name, token)
		}
		first = token
	}
	return first, nil
}

// TokenOf reads every byte of one file, and returns its token.
func TokenOf(name string, content []byte) (token string, err error) {
	if name == "config.json" {
		var c struct{ Token string }
		err := json.Unmarshal(content, &c)
		return c.Token, err
	}
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return "", err
	}
	for _, f := range r.File {
		data, err := record(f)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
		if path.Base(f.Name) == "token" {
			token = string(data)
		}
	}
	return token, nil
}

// MakeRun makes a run as a trainer left it: the real one in the middle of epoch 3,
// or a checkpoint of the same content that lies in the run itself.
func MakeRun(dir, pattern string) error {
	if Spread(pattern) {
		return Save(dir, pattern, "", 0)
	}
	run, err := fs.Sub(runs.FS, "enstack")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, run)
}
