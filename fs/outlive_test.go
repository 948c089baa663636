package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What a trainer sees that outlives its ckptfs, with files open and its working
// directory in the mount; and that it saves again, in the same process and by the
// same path, once there is a new mount.
func TestTrainerOutlivesCkptfs(t *testing.T) {
	const gone = "ENOTCONN"
	for _, c := range []struct {
		name string
		env  []string
		data string // what becomes of reads and writes
	}{
		{"passthrough", nil, "ok"},
		{"through the daemon", []string{"CKPTFS_TEST_NO_PASSTHROUGH=1"}, gone},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mountOver(t, copyRun(t), "save: {settle: 20ms}\n", c.env...)
			if c.env == nil && !m.passthrough {
				t.Skip("no passthrough here: only root has it, from Linux 6.9 on")
			}
			s := startSurvivor(t, m.mnt)
			takeAway := m.kill()
			s.sees("dead", map[string]string{
				"write": c.data, "read": c.data, "fsync": gone, "fstat": gone, "ftruncate": gone,
				"open": gone, "stat": gone + " or ok", "list": gone, "relative": gone, "close": gone,
			})
			takeAway()
			m.start()
			s.sees("relative", map[string]string{"relative": gone}) // it still stands in the dead mount
			s.sees("chdir", map[string]string{"relative": "ok"})
			s.sees("save", map[string]string{"save": "ok"})
			if token, err := load(m.path("resume")); err != nil || token != "000001" {
				t.Errorf("resume/ shows %q, %v", token, err)
			}
			s.end() // else it keeps the mount busy
			const why = "ckptfs stopped while it was being written"
			if note := read(t, quarantineNote(t, m)); !strings.Contains(note, why) {
				t.Errorf("the note in quarantine is %s, want %q", note, why)
			}
		})
	}
}

func quarantineNote(t *testing.T, m *mounted) string {
	t.Helper()
	m.stop()
	notes, err := filepath.Glob(filepath.Join(m.back, ".ckptfs/quarantine/*.json"))
	if err != nil || len(notes) != 1 {
		t.Fatalf("in quarantine: %v, %v", notes, err)
	}
	return notes[0]
}

type survivor struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (s *survivor) end() {
	s.in.Close()
	s.cmd.Wait()
}

func startSurvivor(t *testing.T, dir string) *survivor {
	t.Helper()
	cmd := exec.Command(os.Args[0], "survivor", dir)
	cmd.Env = append(os.Environ(), "CKPTFS_TEST_ROLE=writer")
	cmd.Stderr = os.Stderr
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
	s := &survivor{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(s.end)
	if line, _ := s.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the trainer says %q", line)
	}
	return s
}

// sees has the trainer try something, and compares what it tells.
func (s *survivor) sees(what string, want map[string]string) {
	s.t.Helper()
	fmt.Fprintln(s.in, what)
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	for _, word := range strings.Fields(line) {
		op, got, _ := strings.Cut(word, "=")
		if !slices.Contains(strings.Split(want[op], " or "), got) {
			s.t.Errorf("%s: %s is %s, want %s", what, op, got, want[op])
		}
		delete(want, op)
	}
	for op := range want {
		s.t.Errorf("%s: %s was not tried", what, op)
	}
}

// survive is the body of the trainer.
func survive(dir string) int {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	checkpoint := filepath.Join(dir, "last_checkpoint")
	check(os.Chdir(checkpoint))
	reads, err := os.Open("config.json")
	check(err)
	lists, err := os.Open(".")
	check(err)
	writes, err := os.Create("pytorch_model.bin")
	check(err)
	fmt.Println("ready")
	tell := func(op string, err error) {
		said, errno := "ok", syscall.Errno(0)
		if errors.As(err, &errno) {
			said = unix.ErrnoName(errno)
		} else if err != nil {
			said = strings.ReplaceAll(err.Error(), " ", "_")
		}
		fmt.Printf("%s=%s ", op, said)
	}
	relative := func() {
		_, err := os.ReadFile("config.json")
		tell("relative", err)
	}
	for words := bufio.NewScanner(os.Stdin); words.Scan(); fmt.Println() {
		switch words.Text() {
		case "dead":
			_, err := writes.Write([]byte("more"))
			tell("write", err)
			_, err = reads.ReadAt(make([]byte, 4), 0)
			tell("read", err)
			tell("fsync", writes.Sync())
			_, err = writes.Stat()
			tell("fstat", err)
			tell("ftruncate", writes.Truncate(2))
			_, err = os.Open(filepath.Join(checkpoint, "config.json"))
			tell("open", err)
			_, err = os.Stat(checkpoint)
			tell("stat", err)
			_, err = lists.Readdirnames(-1)
			tell("list", err)
			relative()
			tell("close", writes.Close())
		case "relative":
			relative()
		case "chdir":
			check(os.Chdir(checkpoint))
			relative()
		case "save":
			err := writeAll(checkpoint, "000001")
			if err == nil {
				var d *os.File
				if d, err = os.Open(checkpoint); err == nil {
					err = errors.Join(d.Sync(), d.Close())
				}
			}
			tell("save", err)
		}
	}
	return 0
}

// A mount takes its place before it recovers; when recovery fails it goes again.
func TestFailedRecoveryLeavesNoMount(t *testing.T) {
	needFuse(t)
	dir := copyRun(t)
	journal := filepath.Join(dir, ".ckptfs/journal")
	if err := os.MkdirAll(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	const later = `{"op": "a step of a later version", "id": "x"}`
	if err := os.WriteFile(filepath.Join(journal, "x.json"), []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &mounted{t: t, back: dir, mnt: dir, log: filepath.Join(t.TempDir(), "log")}
	line, _ := bufio.NewReader(m.spawn()).ReadString('\n')
	m.cmd.Wait()
	if !strings.HasPrefix(line, "failed: recover: ") {
		t.Errorf("the daemon says %q", line)
	}
	if n := mountsOf(t, dir); n != 0 {
		t.Errorf("%d mounts are left", n)
		detach(dir)
	}
	if _, err := load(filepath.Join(dir, "last_checkpoint")); err != nil {
		t.Errorf("the directory: %v", err)
	}
}
