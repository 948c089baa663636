package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

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
