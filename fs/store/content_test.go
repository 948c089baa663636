package store

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// run is a run directory as the trainer left it in epoch 3.
const realRun = "../../testdata/runs/enstack"

// checkpointFiles are what the trainer writes, in its order.
var checkpointFiles = []string{"config.json", "pytorch_model.bin", "training_state.pth"}

// content is what one save of a test writes. All of its files carry the token,
// so that a mix of two saves shows.
type content struct {
	token       string
	epoch, step byte // step 0 is the end of the epoch
}

// files makes the files: real ones, with a record or a key more and other
// numbers.
func (c content) files() map[string][]byte {
	config, err := json.Marshal(map[string]any{"num_labels": 2, "token": c.token})
	if err != nil {
		panic(err)
	}
	return map[string][]byte{
		"config.json":        config,
		"pytorch_model.bin":  c.rewrite("pytorch_model.bin"),
		"training_state.pth": c.rewrite("training_state.pth"),
	}
}

// rewrite copies a torch zip of the real run with the token as a record more.
func (c content) rewrite(name string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(name string, data []byte) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	stem := ""
	for _, r := range originals()[name] {
		dir, base, _ := strings.Cut(r.name, "/")
		stem = dir
		data := r.data
		if base == "data.pkl" && name == "training_state.pth" {
			data = setProgress(data, c.epoch, c.step)
		}
		add(r.name, data)
	}
	add(stem+"/token", []byte(c.token))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

type zipRecord struct {
	name string
	data []byte
}

var originals = sync.OnceValue(func() map[string][]zipRecord {
	out := map[string][]zipRecord{}
	for _, name := range checkpointFiles[1:] {
		b, err := os.ReadFile(filepath.Join(realRun, "checkpoint_epoch1_step4", name))
		if err != nil {
			panic(err)
		}
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			panic(err)
		}
		for _, f := range r.File {
			in, err := f.Open()
			if err != nil {
				panic(err)
			}
			data, err := io.ReadAll(in)
			if err != nil {
				panic(err)
			}
			out[name] = append(out[name], zipRecord{f.Name, data})
		}
	}
	return out
})

// progressOf is where the pickle has the two numbers: each a small integer, the
// first after its key, the second after a reference to a key used before.
var progressOf = regexp.MustCompile(`(?s)(epochq.K)(.)(h.K)(.)`)

func setProgress(pickle []byte, epoch, step byte) []byte {
	at := progressOf.FindSubmatchIndex(pickle)
	out := bytes.Clone(pickle)
	out[at[4]], out[at[8]] = epoch, step
	return out
}

// tokenOf reads the token of one file, which has to be whole.
func tokenOf(name string, data []byte) (string, error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	token, ok := known.tokens[string(data)]
	if ok {
		return token, nil
	}
	token, err := readToken(name, data)
	if err == nil {
		known.tokens[string(data)] = token
	}
	return token, err
}

// known are the files that were found whole.
var known = struct {
	mu     sync.Mutex
	tokens map[string]string // by content
}{tokens: map[string]string{}}

func readToken(name string, data []byte) (string, error) {
	if name == "config.json" {
		var c struct{ Token string }
		err := json.Unmarshal(data, &c)
		return c.Token, err
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", err
	}
	token := ""
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(in) // to the end: that checks the record's sum
		if err != nil {
			return "", err
		}
		if strings.HasSuffix(f.Name, "/token") {
			token = string(data)
		}
	}
	return token, nil
}

// errMixed says that the files of a checkpoint are of different saves.
var errMixed = errors.New("files of different saves")

// loadWhole reads all files of a checkpoint and returns its token.
func loadWhole(read func(name string) ([]byte, error)) (string, error) {
	return loadFiles(checkpointFiles, read)
}

func loadFiles(names []string, read func(name string) ([]byte, error)) (string, error) {
	first := ""
	for i, name := range names {
		b, err := read(name)
		if err != nil {
			return "", err
		}
		token, err := tokenOf(name, b)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if i > 0 && token != first {
			return "", fmt.Errorf("%w: %s is of %q, %s of %q", errMixed, names[0], first, name, token)
		}
		first = token
	}
	return first, nil
}
