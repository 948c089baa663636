package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// modelWorkerProcess is a process that does operations to a mount, one line each.
type modelWorkerProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startModelWorker() (*modelWorkerProcess, error) { return startWorker("model") }

func startWorker(role string, args ...string) (*modelWorkerProcess, error) {
	w := &modelWorkerProcess{cmd: exec.Command(os.Args[0], args...)}
	w.cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE="+role)
	w.cmd.Stderr = os.Stderr
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(out)
	return w, w.cmd.Start()
}

// do has the process do one line, and waits for the answer.
func (w *modelWorkerProcess) do(line string) (answer string, err error) {
	if _, err := io.WriteString(w.in, line+"\n"); err != nil {
		return "", err
	}
	answer, err = w.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("a process of the life ended: %w", err)
	}
	status, rest, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), " ")
	switch {
	case status == "ok":
		return rest, nil
	case errnos[status] != 0:
		return "", errnos[status]
	}
	return "", errors.New(answer)
}

// end has the process end, and waits until it is gone.
func (w *modelWorkerProcess) end(how string) {
	if strings.HasPrefix(how, "kill") {
		w.cmd.Process.Kill()
	} else {
		io.WriteString(w.in, how+"\n")
	}
	w.in.Close()
	w.cmd.Wait()
}

// errnos are the numbers of their names.
var errnos = func() map[string]unix.Errno {
	out := map[string]unix.Errno{}
	for e := unix.Errno(1); e < 134; e++ {
		out[unix.ErrnoName(e)] = e
	}
	return out
}()
