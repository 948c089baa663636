package fs_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	ckptfs "ckptfs/fs"
	"ckptfs/fs/store"
)

// asked is a verification by way of the control file.
type asked struct {
	t     *testing.T
	f     *os.File
	lines *json.Decoder
}

func (m *mounted) ask(request string) *asked {
	m.t.Helper()
	f, err := os.OpenFile(m.path(".ckptfs", "verify"), os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(request + "\n"); err != nil {
		m.t.Fatalf("%s: %v", request, err)
	}
	return &asked{m.t, f, json.NewDecoder(bufio.NewReader(f))}
}

// report reads until the report, and what comes behind it: the end.
func (a *asked) report() store.VerifyReport {
	a.t.Helper()
	for {
		var line ckptfs.VerifyLine
		if err := a.lines.Decode(&line); err != nil {
			a.t.Fatal(err)
		}
		if line.Report == nil {
			continue
		}
		if line.Error != "" {
			a.t.Error(line.Error)
		}
		if err := a.lines.Decode(&line); !errors.Is(err, io.EOF) {
			a.t.Errorf("behind the report: %+v, %v", line, err)
		}
		a.f.Close()
		return *line.Report
	}
}

// flip changes one byte in the middle of a file, or changes it back, and keeps its
// time, as a disk does that forgets.
func flip(t *testing.T, name string) {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(read(t, name))
	data[len(data)/2] ^= 0x20
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = errors.Join(f.Close(), os.Chtimes(name, st.ModTime(), st.ModTime()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What a verification through the mount finds damaged is shown by no view from
// then on (P1): the kernel is told. Who has a file of it open reads on.
func TestVerifyMounted(t *testing.T) {
	dir := copyRun(t)
	m := mountOver(t, dir, "save: {settle: 50ms}\n")
	rep := m.ask("verify --deep .").report()
	if len(rep.Checkpoints) != 8 || rep.FilesDone != 24 || rep.Interrupted {
		t.Fatalf("all of it: %+v", rep)
	}
	for _, v := range rep.Checkpoints {
		if !v.OK {
			t.Errorf("%s: %v", v.Name, v.Damage())
		}
	}
	m.stop()
	flip(t, filepath.Join(dir, "last_checkpoint", "pytorch_model.bin"))
	m.start()
	whole := read(t, m.path("recovery_checkpoint", "pytorch_model.bin"))
	open, err := os.Open(m.path("resume", "pytorch_model.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if got := target(t, m.path("resume")); got != "last_checkpoint" {
		t.Fatalf("resume/ shows %s", got)
	}
	rep = m.ask("verify --deep resume").report()
	if len(rep.Checkpoints) != 1 || rep.Checkpoints[0].OK || rep.Checkpoints[0].State != "invalid" {
		t.Fatalf("a byte has changed: %+v", rep)
	}
	if got := target(t, m.path("resume")); got != "recovery_checkpoint" {
		t.Errorf("resume/ shows %s", got)
	}
	if got := read(t, m.path("resume", "pytorch_model.bin")); got != whole {
		t.Error("resume/ shows the bytes of another one")
	}
	if got := state(t, m.path("last_checkpoint")); got != "invalid" {
		t.Errorf("the damaged one is %s", got)
	}
	if _, err := io.ReadAll(open); err != nil {
		t.Errorf("a file that was open: %v", err)
	}
	flip(t, m.path("last_checkpoint", "config.json")) // through the mount: a save, which still holds the damaged file
	eventually(t, "the save waits for the damaged file", func() bool {
		for _, r := range m.status().Runs {
			for _, s := range r.Saves {
				if s.Name == "last_checkpoint" && len(s.Missing) > 0 {
					return true
				}
			}
		}
		return false
	})
	if got := target(t, m.path("resume")); got != "recovery_checkpoint" {
		t.Errorf("resume/ shows %s", got)
	}
}

// A verification ends early when it is told to, or when nobody listens any more,
// and then the mount comes down as ever.
func TestVerifyIsStopped(t *testing.T) {
	dir := copyRun(t)
	big := filepath.Join(dir, "best_model", "big.distcp") // a hole: it takes no space, and long to be read
	if err := os.WriteFile(big, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 1<<40); err != nil {
		t.Fatal(err)
	}
	m := mountOver(t, dir, "")
	a := m.ask("verify --deep best_model")
	var line ckptfs.VerifyLine
	if err := a.lines.Decode(&line); err != nil || line.Progress == nil {
		t.Fatalf("the first line is %+v, %v", line, err)
	}
	if _, err := a.f.WriteString("stop\n"); err != nil {
		t.Fatal(err)
	}
	if rep := a.report(); !rep.Interrupted || rep.FilesDone >= rep.Files {
		t.Errorf("stopped: %+v", rep)
	}
	m.ask("verify --deep best_model").f.Close()
	m.ask("verify --deep best_model").f.Close()
}

// What is no request is refused, and a second one too.
func TestVerifyRefuses(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	for _, request := range []string{"", "verify", "verify ", "verify --deep", "verify a b", "verify ../x", "verify --force a", "delete a v why", "verify /etc"} {
		f, err := os.OpenFile(m.path(".ckptfs", "verify"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(request + "\n"); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v, want EINVAL", request, err)
		}
		f.Close()
	}
	a := m.ask("verify .")
	if _, err := a.f.WriteString("verify .\n"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a second request: %v, want EINVAL", err)
	}
	a.report()
}
