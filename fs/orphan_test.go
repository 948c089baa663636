package fs_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// P2, the lease test: a writer that outlives a killed ckptfs goes on writing to
// what it has open or mapped. It never changes a committed version; what it wrote
// is judged once it has ended.
func TestOrphans(t *testing.T) {
	for _, c := range []struct {
		how       string // what the orphan has
		through   bool   // through the daemon: its writes end with it
		while     string // part of what status says of the save while it lives
		committed bool   // after its end; else the save was given up
	}{
		{how: "descriptor", while: "ckptfs stopped"},
		{how: "mapping", while: "can still be written", committed: true},
		{how: "child", while: "can still be written"},
		{how: "descriptor", through: true, while: "ckptfs stopped"},
		{how: "mapping", through: true, while: "ckptfs stopped"},
		{how: "child", through: true, while: "ckptfs stopped"},
	} {
		name := c.how + " with passthrough"
		var env []string
		if c.through {
			name, env = c.how+" through the daemon", []string{"CKPTFS_TEST_NO_PASSTHROUGH=1"}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mountAt(t, copyRun(t), t.TempDir(), "save: {settle: 20ms}\n", env...)
			if !c.through && !m.passthrough {
				t.Skip("no passthrough here: only root has it, from Linux 6.9 on")
			}
			o := startOrphan(t, c.how, m.path("last_checkpoint"))
			if c.committed { // the RELEASE of a close may lag behind
				eventually(t, "only the lease keeps it", func() bool { return strings.Contains(statusOf(t, m), c.while) })
			}
			m.kill()()
			m.start()
			if !c.through {
				eventually(t, "the orphan is seen to write", func() bool { return o.writes(m) })
			}
			eventually(t, "the save is judged", func() bool { return strings.Contains(statusOf(t, m), c.while) })
			original := func(when, dir string) {
				for _, file := range checkpointFiles {
					if read(t, filepath.Join(dir, file)) != read(t, filepath.Join(run, "last_checkpoint", file)) {
						t.Errorf("%s: %s of the committed version has changed", when, file)
					}
				}
			}
			original("while the orphan writes", m.path("resume"))
			original("while the orphan writes", filepath.Join(m.back, "last_checkpoint"))
			o.end()
			next := "000001"
			if !c.committed {
				next = "000002"
				if err := writeAll(m.path("last_checkpoint"), next); err != nil {
					t.Fatalf("the next save: %v", err)
				}
			}
			eventually(t, "save "+next+" is committed", func() bool { token, err := load(m.path("resume")); return err == nil && token == next })
			history, err := filepath.Glob(filepath.Join(m.back, ".ckptfs/history/*"))
			if err != nil || len(history) != 1 {
				t.Fatalf("history: %v, %v", history, err)
			}
			original("in the history", history[0])
		})
	}
}

type orphan struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Closer
	ino  uint64 // of the file that it goes on writing to
	seen uint64 // the last number that it was seen to write
}

func startOrphan(t *testing.T, how, dir string) *orphan {
	t.Helper()
	o := &orphan{t: t, cmd: exec.Command(os.Args[0], "orphan", how, dir)}
	o.cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE=writer")
	in, err := o.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.in = in
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.end)
	line, _ := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscanf(line, "writes to %d", &o.ino); err != nil {
		t.Fatalf("the orphan says %q", line)
	}
	return o
}

func (o *orphan) end() {
	o.in.Close()
	o.cmd.Wait() // it may have got SIGBUS
}

// writes reports whether the number in its file has grown, wherever in the
// private directory that lies.
func (o *orphan) writes(m *mounted) (grown bool) {
	fs.WalkDir(os.DirFS(m.back), ".ckptfs", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // it may be on its way to somewhere else
		}
		info, err := e.Info()
		if err != nil || info.Sys().(*syscall.Stat_t).Ino != o.ino {
			return nil
		}
		b, err := os.ReadFile(filepath.Join(m.back, p))
		if err != nil || len(b) < counterAt+8 {
			return nil
		}
		n := binary.LittleEndian.Uint64(b[counterAt:])
		grown, o.seen = o.seen != 0 && n != o.seen, n
		return fs.SkipAll
	})
	return grown
}

// counterAt is where in its file an orphan writes a number that grows.
const counterAt = 4096

// serveOrphan saves a whole checkpoint, keeps hold of the last file, goes on
// writing to it until its input ends, and leaves it whole.
func serveOrphan(how, dir string) int {
	files := saveFiles("000001", pad)
	write := func(name string) (*os.File, error) {
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			_, err = f.Write(files[name])
		}
		return f, err
	}
	fail := func(err error) int {
		fmt.Println(err)
		return 1
	}
	for _, name := range []string{"config.json", "training_state.pth"} {
		f, err := write(name)
		if err = errors.Join(err, f.Close()); err != nil {
			return fail(err)
		}
	}
	f, err := write("pytorch_model.bin")
	if err != nil {
		return fail(err)
	}
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	content := files["pytorch_model.bin"]
	put := func(b []byte) { f.WriteAt(b, counterAt) } // it fails once there is no ckptfs and no passthrough
	switch how {
	case "mapping":
		m, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return fail(err)
		}
		if err := f.Close(); err != nil {
			return fail(err)
		}
		put = func(b []byte) { copy(m[counterAt:], b) }
	case "child":
		child := exec.Command(os.Args[0], "orphan", "inherited", dir)
		child.Stdin, child.ExtraFiles = os.Stdin, []*os.File{f}
		if err := child.Start(); err != nil {
			return fail(err)
		}
		if err := f.Close(); err != nil {
			return fail(err)
		}
		fmt.Println("writes to", info.Sys().(*syscall.Stat_t).Ino)
		child.Wait() // as it likes
		return 0
	}
	fmt.Println("writes to", info.Sys().(*syscall.Stat_t).Ino)
	scribble(put, content)
	return 0
}

// inheritedOrphan is the body of the child.
func inheritedOrphan() int {
	f := os.NewFile(3, "inherited")
	scribble(func(b []byte) { f.WriteAt(b, counterAt) }, saveFiles("000001", pad)["pytorch_model.bin"])
	return 0
}

func scribble(put func([]byte), content []byte) {
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for n := uint64(1); ; n++ {
		select {
		case <-ended:
			put(content[counterAt : counterAt+8])
			return
		case <-time.After(time.Millisecond):
			put(binary.LittleEndian.AppendUint64(nil, n))
		}
	}
}
