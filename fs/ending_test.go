package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ending writes a file below a checkpoint and ends in a chosen way:
//
//	ending HOW FILE CONTENT-OF
func ending(args []string) int {
	how, file := args[0], args[1]
	content, err := os.ReadFile(args[2])
	if err != nil {
		fmt.Println(err)
		return 3
	}
	f, err := os.Create(file)
	if err != nil {
		fmt.Println(err)
		return 3
	}
	write := func(b []byte) {
		if _, err := f.Write(b); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
	switch how {
	case "close, exit 0", "close, exit 1":
		write(content)
		f.Close()
		if how == "close, exit 1" {
			return 1
		}
	case "exit 0, whole", "exit 1, whole":
		write(content)
		if how == "exit 1, whole" {
			syscall.Exit(1)
		}
		syscall.Exit(0)
	case "exit 0, half":
		write(content[:len(content)/2])
		syscall.Exit(0)
	case "killed, half", "killed, whole":
		if how == "killed, half" {
			content = content[:len(content)/2]
		}
		write(content)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "terminated":
		write(content)
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {}
	case "dup closed, then killed":
		dup, _ := unix.Dup(int(f.Fd()))
		write(content[:len(content)/2])
		unix.Close(dup)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "child holds it and dies":
		write(content[:len(content)/2])
		child := exec.Command("sh", "-c", "kill -9 $$")
		child.ExtraFiles = []*os.File{f}
		child.Run()
		write(content[len(content)/2:])
		f.Close()
	case "exec while it is open":
		write(content[:len(content)/2])
		if err := exec.Command("true").Run(); err != nil { // close-on-exec: execve flushes it
			fmt.Println(err)
			return 3
		}
		write(content[len(content)/2:])
		f.Close()
	case "mapped after close":
		f.Truncate(int64(len(content)))
		m, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return 4 // the mount cannot map for writing
		}
		f.Close()
		copy(m, content)
		unix.Munmap(m)
	}
	return 0
}

// DESIGN's table of endings: what is published under the name, what is held.
func TestEndings(t *testing.T) {
	const zip = run + "/last_checkpoint/pytorch_model.bin"
	const opaque = run + "/last_checkpoint/config.json" // under a name that promises nothing
	for _, c := range []struct {
		how, name, content string
		want               string // published, held, or published whole
	}{
		{"close, exit 0", "pytorch_model.bin", zip, "published"},
		{"close, exit 1", "pytorch_model.bin", zip, "published"},
		{"exit 0, whole", "pytorch_model.bin", zip, "published"}, // the format proves it
		{"exit 0, half", "pytorch_model.bin", zip, "held"},
		{"exit 0, whole", "notes.txt", opaque, "held"}, // nothing proves it
		{"exit 1, whole", "pytorch_model.bin", zip, "held"},
		{"killed, half", "pytorch_model.bin", zip, "held"},
		{"killed, whole", "pytorch_model.bin", zip, "held"},
		{"terminated", "pytorch_model.bin", zip, "held"},
		{"dup closed, then killed", "pytorch_model.bin", zip, "held"},
		{"child holds it and dies", "pytorch_model.bin", zip, "published"},
		{"exec while it is open", "pytorch_model.bin", zip, "published"},
		{"mapped after close", "pytorch_model.bin", zip, "published"},
	} {
		t.Run(c.how+" "+c.name, func(t *testing.T) {
			m := mountOver(t, copyRun(t), "")
			const old = "what the name held before"
			file := m.path("last_checkpoint", c.name)
			before := old
			if c.name == "pytorch_model.bin" {
				before = read(t, file)
			} else if err := os.WriteFile(file, []byte(old), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "ending", c.how, file, c.content)
			cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE=writer")
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() == 4 {
				t.Skip("without passthrough a file that is open for writing only cannot be mapped")
			}
			if strings.TrimSpace(string(out)) != "" {
				t.Fatalf("%v: %s", err, out)
			}
			eventually(t, "the file is decided about", func() bool {
				b, err := os.ReadFile(file)
				switch {
				case err != nil:
					return false
				case c.want == "held":
					return strings.Contains(statusOf(t, m), `"entries": 1`) && string(b) == before
				default:
					return string(b) == read(t, c.content)
				}
			})
		})
	}
}

func statusOf(t *testing.T, m *mounted) string { return read(t, m.path(".ckptfs", "status.json")) }

// A shell opens the file of a redirection, duplicates it and closes it before
// the command has written anything.
func TestRedirection(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	file := m.path("checkpoint_epoch1_step4", "notes.txt")
	if out, err := exec.Command("sh", "-c", "{ echo one; sleep 0.05; echo two; } > "+file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, "the whole output is there", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && string(b) == "one\ntwo\n"
	})
}

// P3, on ext4's terms: readers of the name see the old content until the writer
// has closed, the writer sees its own, and an exclusive open by others fails.
func TestUnpublished(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	file := m.path("last_checkpoint", "config.json")
	old := read(t, file)
	cmd := exec.Command(os.Args[0], "hold", file)
	cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE=writer")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "reads new\n" {
		t.Fatalf("the writer says %q, %v", line, err)
	}
	if got := read(t, file); got != old {
		t.Errorf("another process reads %q before the close", got)
	}
	if got := read(t, m.path("resume", "config.json")); got != old {
		t.Errorf("the view shows %q", got)
	}
	if _, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); !errors.Is(err, os.ErrExist) {
		t.Errorf("O_EXCL: %v", err)
	}
	io.WriteString(in, "close\n")
	eventually(t, "it is published", func() bool { return read(t, file) == "new" })
}

// hold writes a file, reads it back by name, and keeps it open until it is told.
func hold(file string) int {
	f, err := os.Create(file)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	f.WriteString("new")
	b, err := os.ReadFile(file)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("reads", string(b))
	wait := make([]byte, 1)
	os.Stdin.Read(wait)
	f.Close()
	os.Stdin.Read(wait)
	return 0
}
