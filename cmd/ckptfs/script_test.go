package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"ckptfs/testdata/runs"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ckptfs": main})
}

// TestScripts runs the command as a user does. Every mount is a process of its
// own, and gone when its script ends, however it ends.
func TestScripts(t *testing.T) {
	p := scriptParams(t)
	p.Dir = "../../testdata/script"
	testscript.Run(t, p)
}

// scriptParams are what scripts can use.
func scriptParams(t *testing.T) testscript.Params {
	return testscript.Params{
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { takeAway(t, env.WorkDir) })
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else a second for each command with -race
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "fuse":
				return fuseUsable(false) == nil, nil
			}
			return false, fmt.Errorf("condition %q is not known", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"run":    scriptRun,
			"exits":  scriptExits,
			"shape":  scriptShape,
			"damage": scriptDamage,
			"kill9":  scriptKill9,
			"await":  scriptAwait,
			"flip":   scriptFlip,
		},
		RequireExplicitExec: true,
	}
}

// takeAway unmounts everything below a directory, the innermost first.
func takeAway(t *testing.T, dir string) {
	list, err := mounted()
	if err != nil {
		t.Error(err)
		return
	}
	for _, m := range slices.Backward(list) {
		if within(m.point, dir) {
			if err := detach(m.point); err != nil {
				t.Errorf("a mount is left: %v", err)
			}
		}
	}
}

// scriptRun lays out a copy of a real run: run DIR.
func scriptRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: run DIR")
	}
	run, err := fs.Sub(runs.FS, "enstack")
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), run))
}

// scriptFlip changes one byte in the middle of a file, or changes it back, and
// keeps its time, as a disk does that forgets: flip FILE.
func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	name := ts.MkAbs(args[0])
	st, err := os.Stat(name)
	ts.Check(err)
	data, err := os.ReadFile(name)
	ts.Check(err)
	data[len(data)/2] ^= 0x20
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(data, 0)
	ts.Check(errors.Join(err, f.Close()))
	ts.Check(os.Chtimes(name, st.ModTime(), st.ModTime()))
}

// scriptExits runs a command that has to end with an exit code: exits CODE ARG...
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptShape compares which keys a JSON document has, and of which type, with
// a list of them: shape stdout FILE.
func scriptShape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shape JSON FILE")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	keys := map[string]bool{}
	shapeOf(doc, "", keys)
	got := strings.Join(slices.Sorted(maps.Keys(keys)), "\n") + "\n"
	if diff := cmp.Diff(ts.ReadFile(args[1]), got); diff != "" {
		ts.Fatalf("the keys have changed (-want +got):\n%s", diff)
	}
}

// shapeOf collects "key.key[].key type" of everything in a document.
func shapeOf(v any, at string, keys map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			shapeOf(child, strings.TrimPrefix(at+"."+k, "."), keys)
		}
	case []any:
		for _, child := range v {
			shapeOf(child, at+"[]", keys)
		}
		keys[at+" array"] = true
	case string:
		keys[at+" string"] = true
	case float64:
		keys[at+" number"] = true
	case bool:
		keys[at+" bool"] = true
	case nil:
		keys[at+" null"] = true
	}
}

// scriptDamage changes a byte of a file of a deleted checkpoint, as a disk does, in
// its time and size as they were: damage DIR NAME FILE.
func scriptDamage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: damage DIR NAME FILE")
	}
	dir := ts.MkAbs(args[0])
	src, err := look(target{root: dir, sub: "."}, "")
	ts.Check(err)
	defer src.Close()
	rep, err := src.Trash()
	ts.Check(err)
	for _, row := range rep.Trash {
		if row.Name != args[1] {
			continue
		}
		v, err := src.OpenVersion(row.Version)
		ts.Check(err)
		defer v.Close()
		f, err := v.Open("", args[2], os.O_RDWR, 0)
		ts.Check(err)
		defer f.Close()
		st, err := f.Stat()
		ts.Check(err)
		_, err = f.WriteAt([]byte{'!'}, st.Size()/2)
		ts.Check(err)
		at := unix.NsecToTimespec(st.ModTime().UnixNano())
		ts.Check(v.Fchtimes("", f, at, at))
		return
	}
	ts.Fatalf("%s is not in the trash", args[1])
}

// scriptKill9 kills the daemon of a mount: kill9 MOUNTPOINT. It returns when the
// mount is dead.
func scriptKill9(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: kill9 MOUNTPOINT")
	}
	point, err := filepath.EvalSymlinks(ts.MkAbs(args[0]))
	ts.Check(err)
	rep, err := daemon(point).Status()
	ts.Check(err)
	fd, err := unix.PidfdOpen(rep.PID, 0)
	ts.Check(err)
	defer unix.Close(fd)
	ts.Check(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
	for { // until it is gone; the test's own deadline is the bound
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			ts.Check(err)
			return
		}
	}
}

// scriptAwait returns when a directory is a mount of ckptfs, or with ! is none:
// [!] await DIR.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] await DIR")
	}
	point, err := filepath.EvalSymlinks(ts.MkAbs(args[0]))
	ts.Check(err)
	// Not an os.File: Go polls those itself, and each change is told once.
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ts.Check(err)
	defer unix.Close(table)
	for {
		list, err := mounted()
		ts.Check(err)
		if m, ok := mountAt(list, point); (ok && m.ours()) != neg {
			return
		}
		// Until the table changes; the test's own deadline is the bound.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}}, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			ts.Check(err)
		}
	}
}
