package fs_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// traceOrder is what a process of a trace is told: a line of JSON. A write is
// two orders, so that the process can be killed between them.
type traceOrder struct {
	Verb    string
	Args    []string
	Content []byte
}

// traceWorker is the body of one rank of a trainer.
func traceWorker(dir string) int {
	unix.Umask(0o022)
	out := -1 // the file that is being written
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return 0
		}
		var o traceOrder
		if err = json.Unmarshal(line, &o); err == nil {
			err = o.carryOut(dir, &out)
		}
		var errno unix.Errno
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.As(err, &errno):
			fmt.Println(unix.ErrnoName(errno))
		default:
			fmt.Println("failed:", err)
		}
	}
}

func (o traceOrder) carryOut(dir string, out *int) error {
	at := func(i int) string { return filepath.Join(dir, o.Args[i]) }
	switch o.Verb {
	case "mkdir":
		return os.MkdirAll(at(0), 0o755) // as all of them do, exist_ok
	case "begin":
		fd, err := openRegular(at(0), openFlags["w"])
		if err != nil {
			return err
		}
		*out = fd
		return writeFull(fd, o.Content)
	case "finish":
		return errors.Join(writeFull(*out, o.Content), unix.Close(*out))
	case "finish and fsync":
		return errors.Join(writeFull(*out, o.Content), unix.Fsync(*out), unix.Close(*out))
	case "rename":
		return unix.Rename(at(0), at(1))
	case "link":
		return unix.Link(at(0), at(1))
	case "symlink":
		return unix.Symlink(o.Args[0], at(1))
	case "unlink":
		return unix.Unlink(at(0))
	case "rmtree":
		return os.RemoveAll(at(0))
	case "begin rmtree": // the files of the directory itself
		names, err := listNames(at(0))
		for _, name := range names {
			if e := unix.Unlink(filepath.Join(at(0), name)); e != nil && e != unix.EISDIR {
				err = errors.Join(err, e)
			}
		}
		return err
	case "chmod":
		mode, err := strconv.ParseUint(o.Args[0], 8, 32)
		return errors.Join(err, unix.Chmod(at(1), uint32(mode)))
	case "utimens":
		then := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		return os.Chtimes(at(0), then, then)
	case "fsync":
		f, err := os.Open(at(0))
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	case "list":
		_, err := listNames(at(0))
		return err
	}
	return fmt.Errorf("%s is not an order", o.Verb)
}
