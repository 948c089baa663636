package fs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ckptfs/fs/store"
	"ckptfs/testdata/figures"
	"ckptfs/testdata/saves"
)

// ending is one way in which the writer of the last file of a checkpoint can
// come to its end, and what becomes of the file and of the save (P1, P3).
type ending struct {
	way  string
	file string // what the name shows in the end: new, old, or half
	view string // what resume/ shows in the end
	why  string // part of what status says of the save; "" when it is committed
}

// Those of testdata/writers/*.c.
var endingsInC = []ending{
	{"closed, exit 0", "new", "new", ""},
	{"closed, exit 1", "new", "old", "exited with status 1 before the save had settled"},
	{"closed, then killed", "new", "old", "killed by signal 9 before the save had settled"},
	{"left open, exit 0", "new", "new", ""}, // the format proves it whole
	{"half, exit 0", "old", "old", "exited without closing it"},
	{"left open, exit 1", "old", "old", "exited with status 1"},
	{"left open, killed", "old", "old", "killed by signal 9"},
	{"half, killed", "old", "old", "killed by signal 9"},
	{"killed in the middle of write(2)", "old", "old", "killed by signal 9"},
	{"half, SIGTERM", "old", "old", "killed by signal 15"},
	{"half, SIGSEGV", "old", "old", "killed by signal 11"},
	{"half, SIGABRT", "old", "old", "killed by signal 6"},
	{"two threads, left open, exit 0", "new", "new", ""},
	{"two threads, left open, exit 1", "old", "old", "exited with status 1"},
	{"two threads, half, killed", "old", "old", "killed by signal 9"},
	{"the leader is gone, another thread closes", "new", "new", ""},
	{"a duplicate is closed", "new", "new", ""},
	{"a duplicate is closed, then killed", "old", "old", "killed by signal 9"},
	{"a child exits with it", "new", "new", ""},
	{"a child is killed with it", "new", "new", ""},
	{"a child closes it", "new", "new", ""},
	{"a child goes on after the close", "new", "new", ""},
	{"a child is killed after the close", "new", "new", ""},
	{"passed on, the receiver goes on", "new", "new", ""},
	{"passed on, the receiver is killed", "new", "new", ""},
	{"mapped, closed, written, unmapped", "new", "new", ""},
	{"mapped, closed, written, exit 0", "new", "new", ""},
	{"mapped, closed, written, killed", "new", "old", "killed by signal 9 before the save had settled"},
	{"fork and exec, close-on-exec", "new", "new", ""},
	{"fork and exec, inherited", "new", "new", ""},
	{"system()", "new", "new", ""},
	{"popen()", "new", "new", ""},
	{"half, exec of itself, close-on-exec", "half", "old", "training_state.pth"},
	{"whole, exec of itself, close-on-exec", "new", "new", ""},
	{"whole, exec from another thread", "new", "new", ""},
	{"exec of itself, inherited and closed", "new", "new", ""},
}

// Those of testdata/writers/writer.py.
var endingsInPython = []ending{
	{"with", "new", "new", ""},
	{"an exception in with", "half", "old", "training_state.pth"},
	{"sys.exit(1) in with", "half", "old", "training_state.pth"},
	{"Ctrl-C in with", "half", "old", "training_state.pth"},
	{"SIGTERM in with", "old", "old", "killed by signal 15"},
	{"SIGKILL in with", "old", "old", "killed by signal 9"},
	{"os._exit(1) in with", "old", "old", "exited with status 1"},
	{"os._exit(0) in with", "old", "old", "exited without closing it"},
	{"a thread writes", "new", "new", ""},
	{"a thread raises, main ends with 0", "half", "old", "training_state.pth"},
	{"a daemon thread is in the middle, main ends with 0", "old", "old", "exited without closing it"},
	{"never closed", "new", "new", ""},
	{"written beside and replaced", "new", "new", ""},
	{"os.system in with", "new", "new", ""},
	{"subprocess in with", "new", "new", ""},
	{"a forked child exits in with", "new", "new", ""},
}

// DESIGN's table of endings, with and without passthrough. Each has a run of its
// own; all are played at the same time in one mount, and ps has to answer.
func TestEndings(t *testing.T) {
	writers := map[string][]string{}
	if cc, err := exec.LookPath("cc"); err != nil {
		t.Log("no C compiler here: the endings of C programs are not played")
	} else {
		writers["C"] = []string{compileWriter(t, cc)}
	}
	if python := python(); python == "" {
		t.Log("no Python here: the endings of Python programs are not played")
	} else {
		writers["Python"] = []string{python, "-B", "../testdata/writers/writer.py"}
	}
	source := filepath.Join(t.TempDir(), "new")
	if err := saves.Write(source, "000001", 0); err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, mode := range []struct {
		name string
		env  []string
	}{{"passthrough", nil}, {"through the daemon", []string{"CKPTFS_TEST_NO_PASSTHROUGH=1"}}} {
		t.Run(mode.name, func(t *testing.T) {
			dir := t.TempDir()
			for lang := range writers {
				for i := range endingsOf(lang) {
					original := os.DirFS(filepath.Join(run, "last_checkpoint"))
					if err := os.CopyFS(filepath.Join(dir, runOf(lang, i), "last_checkpoint"), original); err != nil {
						t.Fatal(err)
					}
				}
			}
			m := mountOver(t, dir, "", mode.env...)
			if m.passthrough && mode.env != nil {
				t.Fatal("there is passthrough")
			}
			stop := answering(t)
			t.Run("all", func(t *testing.T) {
				for lang, command := range writers {
					for i, e := range endingsOf(lang) {
						played++
						t.Run(lang+" "+e.way, func(t *testing.T) {
							t.Parallel()
							e.play(t, m, runOf(lang, i), append(command, e.way, source))
						})
					}
				}
			})
			stop()
		})
	}
	if played > 0 && !t.Failed() {
		figures.Report(t, "endings", "%d played, 0 wrong", played)
	}
}

func endingsOf(lang string) []ending {
	if lang == "C" {
		return endingsInC
	}
	return endingsInPython
}

func runOf(lang string, i int) string { return fmt.Sprintf("%s-%02d", lang, i) }

// endingBound is how long a writer may take; no ending may hang.
const endingBound = time.Minute

func (e ending) play(t *testing.T, m *mounted, dir string, command []string) {
	target := m.path(dir, "last_checkpoint")
	ctx, cancel := context.WithTimeout(context.Background(), endingBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], target)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the writer hangs\n%s", processes())
	}
	if cmd.ProcessState.ExitCode() > 1 || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	found := ""
	for end := time.Now().Add(endingBound); ; time.Sleep(10 * time.Millisecond) { // the pace of asking
		file, view, why := e.found(t, m, dir)
		found = fmt.Sprintf("the file is %s, resume/ is %s, status says %q", file, view, why)
		if file == e.file && view == e.view && strings.Contains(why, e.why) && (e.why != "" || why == "") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s\nwant %s, %s, %q\n%s", found, e.file, e.view, e.why, m.tail())
		}
	}
}

// found tells what the file and the view are, and what status says of the save.
func (e ending) found(t *testing.T, m *mounted, dir string) (file, view, why string) {
	content, err := os.ReadFile(m.path(dir, "last_checkpoint", "training_state.pth"))
	if err != nil {
		return err.Error(), "", ""
	}
	age := map[string]string{"": "old", "000001": "new"}
	if token, err := saves.TokenOf("training_state.pth", content); err == nil {
		file = age[token]
	} else {
		file = "half"
	}
	token, err := load(m.path(dir, "resume"))
	if err != nil {
		t.Errorf("resume/: %v", err)
	}
	var status store.StatusReport
	if err := json.Unmarshal([]byte(statusOf(t, m)), &status); err != nil {
		t.Fatal(err)
	}
	for _, r := range status.Runs {
		for _, sv := range r.Saves {
			if r.Path == dir {
				why += strings.Join(sv.Missing, "; ")
			}
		}
	}
	return file, age[token], why
}

// answering runs ps over and over: it reads what a process in execve keeps locked.
func answering(t *testing.T) (stop func()) {
	ps, err := exec.LookPath("ps")
	if err != nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), endingBound)
			cmd := exec.CommandContext(ctx, ps, "-ef")
			cmd.WaitDelay = time.Second
			if err := cmd.Run(); err != nil {
				t.Errorf("ps: %v\n%s", err, processes())
			}
			cancel()
		}
	}()
	return func() { close(done); <-ended }
}

func compileWriter(t *testing.T, cc string) string {
	t.Helper()
	files, err := filepath.Glob("../testdata/writers/*.c")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	program := filepath.Join(t.TempDir(), "writer")
	args := append([]string{"-O1", "-pthread", "-o", program}, files...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, bytes.TrimSpace(out))
	}
	return program
}

func python() string {
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

func statusOf(t *testing.T, m *mounted) string {
	t.Helper()
	return read(t, m.path(".ckptfs", "status.json"))
}
