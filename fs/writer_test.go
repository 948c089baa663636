package fs_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// A test save carries one token in all of its files, so that a mix of two saves
// shows. The files are real ones with a record or a key more.

// saveFiles makes the three files of a save.
func saveFiles(token string, pad int) map[string][]byte {
	config, _ := json.Marshal(map[string]any{"n": 39, "num_labels": 2, "token": token})
	return map[string][]byte{
		"config.json":        config,
		"pytorch_model.bin":  withRecord(run+"/last_checkpoint/pytorch_model.bin", token, pad),
		"training_state.pth": withRecord(run+"/last_checkpoint/training_state.pth", token, 0),
	}
}

// withRecord rewrites a torch zip with a token, and a pad that makes writing it
// take a while.
func withRecord(file, token string, pad int) []byte {
	content := originals(file)
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	stem, _, _ := strings.Cut(r.File[0].Name, "/")
	add := func(name string, data []byte) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			panic(err)
		}
		f.Write(data)
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
		add(f.Name, data)
	}
	add(stem+"/token", []byte(token))
	if pad > 0 {
		add(stem+"/pad", bytes.Repeat([]byte(token+"."), pad/(len(token)+1)))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

var originals = func() func(string) []byte {
	var mu sync.Mutex
	known := map[string][]byte{}
	return func(file string) []byte {
		mu.Lock()
		defer mu.Unlock()
		if known[file] == nil {
			b, err := os.ReadFile(file)
			if err != nil {
				panic(err)
			}
			known[file] = b
		}
		return known[file]
	}
}()

// tokenOf reads the token of one file.
func tokenOf(name string, content []byte) (string, error) {
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
		in, err := f.Open()
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(in) // checks the CRC
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
		if strings.HasSuffix(f.Name, "/token") {
			return string(data), nil
		}
	}
	return "", nil // one of the original run
}

// load reads a whole checkpoint from one directory that is opened once, and
// returns its token; files of two saves, or a torn one, are an error.
func load(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	first := ""
	for i, name := range checkpointFiles {
		b, err := root.ReadFile(name)
		if err != nil {
			return "", err
		}
		token, err := tokenOf(name, b)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if i > 0 && token != first {
			return "", fmt.Errorf("%s is of save %q, %s of save %q", checkpointFiles[0], first, name, token)
		}
		first = token
	}
	return first, nil
}

// writer is the body of the processes that tests start to write and die:
//
//	patterns DIR PATTERN FROM   saves for ever, with tokens FROM, FROM+1, …
//
// A line on stdout says that a save is through. Or one file in one of the ways
// of ending_test.go.
func writer(args []string) int {
	if len(args) == 4 && args[0] == "patterns" {
		from, _ := strconv.Atoi(args[3])
		for n := from; ; n++ {
			if err := savePattern(args[1], args[2], fmt.Sprintf("%06d", n)); err != nil {
				fmt.Println("failed:", err)
				return 1
			}
			fmt.Println("saved", n)
		}
	}
	if args[0] == "hold" {
		return hold(args[1])
	}
	return ending(args[1:])
}

// patterns are how the guide's trainer and its relatives replace a checkpoint.
var patterns = []string{"in-place-new", "overwrite", "tmp-rename", "rename-aside", "rmtree"}

func savePattern(dir, pattern, token string) error {
	const name = "last_checkpoint"
	final := filepath.Join(dir, name)
	tmp := filepath.Join(dir, ".tmp_"+name+"_abcdefgh")
	backup := filepath.Join(dir, ".backup_"+name)
	switch pattern {
	case "in-place-new":
		n, _ := strconv.Atoi(token)
		return writeAll(filepath.Join(dir, fmt.Sprintf("checkpoint_epoch%d_step1", n)), token)
	case "overwrite":
		return writeAll(final, token)
	case "rmtree":
		if err := os.RemoveAll(final); err != nil {
			return err
		}
		return writeAll(final, token)
	}
	// As the trainer does at its start, and before each save.
	os.RemoveAll(tmp)
	if err := writeAll(tmp, token); err != nil {
		return err
	}
	if _, err := os.Lstat(final); err == nil {
		if pattern == "tmp-rename" {
			if err := os.RemoveAll(final); err != nil {
				return err
			}
			return os.Rename(tmp, final)
		}
		if err := os.RemoveAll(backup); err != nil {
			return err
		}
		if err := os.Rename(final, backup); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return os.RemoveAll(backup)
}

// writeAll writes the files in the trainer's order, in pieces.
func writeAll(dir, token string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := saveFiles(token, 2<<20)
	for _, name := range checkpointFiles {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for content := files[name]; len(content) > 0; {
			n := min(len(content), 256<<10)
			if _, err := f.Write(content[:n]); err != nil {
				return err
			}
			content = content[n:]
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
