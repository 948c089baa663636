package fs_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ckptfs/testdata/saves"
)

// The bodies of the processes that a kill test kills: trainers of four kinds
// that save for ever.

// writing writes the three files of a save into a directory that is there.
type writing func(dir, token string) error

// kinds are how the work of a save is shared out.
var kinds = map[string]writing{
	"one":     writeAll,
	"threads": writeInThreads,
	"forks":   writeBesideChildren,
	"ranks":   new(launcher).write,
}

// train saves until its input ends, and tells which saves are through: those
// that a view has shown after an fsync of the checkpoint. What fails is told,
// and tried again with the next number, as a trainer does that outlives its
// file system.
func train(dir, pattern, kind string, from int) int {
	var enough atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		enough.Store(true)
	}()
	status := 0
	for n := from; !enough.Load(); n++ {
		token := fmt.Sprintf("%06d", n)
		shown, err := false, saves.SaveBy(dir, pattern, token, func(dir string) error { return kinds[kind](dir, token) })
		if err == nil {
			shown, err = concluded(dir, pattern, token)
		}
		status = 0
		switch {
		case err != nil:
			status = 1 // a trainer that ended with 0 would say that what it wrote of this save is all
			fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", ": "))
			time.Sleep(5 * time.Millisecond) // as a trainer that is not mad
		case shown:
			fmt.Println("saved", n)
		}
	}
	return status
}

// concluded syncs the checkpoint, and reports whether a view shows it then.
func concluded(dir, pattern, token string) (bool, error) {
	view := "resume"
	if pattern == saves.InPlaceNew {
		view = "by-epoch/" + strings.TrimLeft(token, "0")
	}
	d, err := os.Open(filepath.Join(dir, saves.Target(pattern, token)))
	if err != nil {
		return false, err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return false, err
	}
	b, err := os.ReadFile(filepath.Join(dir, view, "config.json"))
	if err != nil {
		return false, nil // it has gone to make room for others
	}
	got, err := saves.TokenOf("config.json", b)
	return got == token, err
}

// writeInThreads has a thread for each file, and a second for half of its bytes.
func writeInThreads(dir, token string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := saveFiles(token, pad)
	ended := make(chan error)
	for _, name := range checkpointFiles {
		go func() {
			runtime.LockOSThread() // it ends with the goroutine
			ended <- writeByTwo(filepath.Join(dir, name), files[name])
		}()
	}
	var err error
	for range checkpointFiles {
		err = errors.Join(err, <-ended)
	}
	return err
}

func writeByTwo(file string, content []byte) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	half, other := len(content)/2, make(chan error)
	go func() {
		runtime.LockOSThread()
		_, err := f.WriteAt(content[half:], int64(half))
		other <- err
	}()
	_, err = f.WriteAt(content[:half], 0)
	return errors.Join(err, <-other, f.Close())
}

// writeBesideChildren starts a process while each file is open, which inherits
// the descriptor and holds it for a moment longer than the writer.
func writeBesideChildren(dir, token string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := saveFiles(token, pad)
	for _, name := range checkpointFiles {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		content := files[name]
		_, err = f.Write(content[:len(content)/2])
		child := exec.Command("sleep", "0.02")
		child.ExtraFiles = []*os.File{f}
		if e := child.Start(); e == nil {
			go child.Wait() // it may be killed
		}
		if err == nil {
			_, err = f.Write(content[len(content)/2:])
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

const worldSize = 8

// launcher runs eight ranks that write one checkpoint: an eighth of the weights
// each, and a file of their own. When one of them ends it ends the others, and
// starts anew with the next save.
type launcher struct{ ranks []*rank }

type rank struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (l *launcher) write(dir, token string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for len(l.ranks) < worldSize {
		r := &rank{cmd: exec.Command(os.Args[0], "rank", strconv.Itoa(len(l.ranks)))}
		r.in, _ = r.cmd.StdinPipe() // a broken one shows in the first word
		out, _ := r.cmd.StdoutPipe()
		r.out = bufio.NewReader(out)
		if err := r.cmd.Start(); err != nil {
			return err
		}
		l.ranks = append(l.ranks, r)
	}
	// Two phases with a barrier between them, as when all have to have it open.
	for _, phase := range []string{"open", "write"} {
		for _, r := range l.ranks {
			fmt.Fprintln(r.in, phase, dir, token)
		}
		for i, r := range l.ranks {
			word, err := r.out.ReadString('\n')
			if word != "done\n" {
				l.end()
				return fmt.Errorf("rank %d: %s%v: %w", i, word, err, errRank)
			}
		}
	}
	return nil
}

var errRank = errors.New("a rank has failed")

func (l *launcher) end() {
	for _, r := range l.ranks {
		r.cmd.Process.Kill()
		r.cmd.Wait()
	}
	l.ranks = nil
}

// serveRank is the body of one rank.
func serveRank(k int) int {
	var shared *os.File
	for words := bufio.NewScanner(os.Stdin); words.Scan(); {
		phase, rest, _ := strings.Cut(words.Text(), " ")
		dir, token, _ := strings.Cut(rest, " ")
		files := saveFiles(token, pad)
		weights := files["pytorch_model.bin"]
		var err error
		if phase == "open" {
			shared, err = os.OpenFile(filepath.Join(dir, "pytorch_model.bin"), os.O_CREATE|os.O_WRONLY, 0o644)
		} else {
			part := len(weights)/worldSize + 1
			from := k * part
			_, err = shared.WriteAt(weights[from:min(from+part, len(weights))], int64(from))
			err = errors.Join(err, shared.Close())
			own := map[int]string{0: "config.json", 1: "training_state.pth"}[k]
			content := files[own]
			if own == "" {
				own = fmt.Sprintf("rng_state_%d.json", k)
				content, _ = json.Marshal(map[string]any{"rank": k, "token": token})
			}
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, own), content, 0o644))
		}
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
			return 1
		}
		fmt.Println("done")
	}
	return 0
}
