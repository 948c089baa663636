package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ckptfs/testdata/saves"
)

// The bodies of the processes that a kill test kills: trainers of four kinds
// that save for ever.

// job is one save: its files go into a directory that may be there.
type job struct{ dir, pattern, token string }

func (j job) files() []saves.File { return saves.Written(j.pattern, j.token, pad) }

// kinds are how the work of a save is shared out.
var kinds = map[string]func(job) error{
	"one":     func(j job) error { return saves.WriteFiles(j.dir, j.files()) },
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
		shown, err := false, saves.SaveBy(dir, pattern, token, func(dir string) error { return kinds[kind](job{dir, pattern, token}) })
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

// concluded syncs the checkpoint, or the run that its files lie in, and reports
// whether a view shows it then.
func concluded(dir, pattern, token string) (bool, error) {
	view := "resume"
	if pattern == saves.InPlaceNew {
		view = "by-epoch/" + strings.TrimLeft(token, "0")
	}
	d, err := os.Open(filepath.Join(dir, saves.Dir(pattern, token)))
	if err != nil {
		return false, err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return false, err
	}
	first := saves.FilesOf(pattern)[0]
	b, err := os.ReadFile(filepath.Join(dir, view, first))
	if err != nil {
		return false, nil // it has gone to make room for others
	}
	got, err := saves.TokenOf(first, b)
	return got == token, err
}

// writeInThreads has a thread for each file, and a second for half of its bytes.
func writeInThreads(j job) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return err
	}
	files := j.files()
	ended := make(chan error)
	for _, f := range files {
		go func() {
			runtime.LockOSThread() // it ends with the goroutine
			ended <- writeByTwo(filepath.Join(j.dir, f.Name), f.Content)
		}()
	}
	var err error
	for range files {
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
func writeBesideChildren(j job) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return err
	}
	for _, file := range j.files() {
		f, err := os.Create(filepath.Join(j.dir, file.Name))
		if err != nil {
			return err
		}
		content := file.Content
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

// launcher runs eight ranks that write one checkpoint: an eighth of the largest
// file each, and where there are more a file of their own. When one of them ends it
// ends the others, and starts anew with the next save.
type launcher struct{ ranks []*rank }

type rank struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (l *launcher) write(j job) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
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
			fmt.Fprintln(r.in, phase, j.pattern, j.token, j.dir)
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

// sharedFile is which of some files every rank writes a part of.
func sharedFile[F any](files []F) F { return files[min(1, len(files)-1)] }

// own are the files that a rank writes alone: one of the others, or one more.
func (j job) own(rank int) []saves.File {
	if files := j.files(); len(files) > 1 {
		if others := slices.Delete(files, 1, 2); rank < len(others) {
			return others[rank : rank+1]
		}
	}
	if f, ok := saves.Further(j.pattern, j.token, rank); ok {
		return []saves.File{f}
	}
	return nil
}

// serveRank is the body of one rank.
func serveRank(k int) int {
	var shared *os.File
	for words := bufio.NewScanner(os.Stdin); words.Scan(); {
		w := strings.SplitN(words.Text(), " ", 4)
		phase, j := w[0], job{pattern: w[1], token: w[2], dir: w[3]}
		weights := sharedFile(j.files())
		var err error
		if phase == "open" {
			shared, err = os.OpenFile(filepath.Join(j.dir, weights.Name), os.O_CREATE|os.O_WRONLY, 0o644)
		} else {
			part := len(weights.Content)/worldSize + 1
			from := k * part
			_, err = shared.WriteAt(weights.Content[from:min(from+part, len(weights.Content))], int64(from))
			err = errors.Join(err, shared.Close(), saves.WriteFiles(j.dir, j.own(k)))
		}
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
			return 1
		}
		fmt.Println("done")
	}
	return 0
}
