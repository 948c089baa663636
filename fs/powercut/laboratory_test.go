package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// scratchVar names the directory of the laboratory, which is a process with mounts
// and processes of its own.
const scratchVar = "POWERCUT_SCRATCH"

// enterLaboratory runs this binary once more, in namespaces of its own, and
// returns how that ended. It outlives the laboratory to remove what may be left
// of its files.
func enterLaboratory() (status int, err error) {
	scratch, err := os.MkdirTemp("", "powercut-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	runtime.LockOSThread() // the death signal is tied to the thread that starts the child
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVar+"=laboratory", scratchVar+"="+scratch)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, unix.SIGTERM)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("enter the laboratory: %w", err)
	}
	go func() {
		<-interrupts
		cmd.Process.Kill()
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("the laboratory was ended: %w", err)
	}
	return 0, nil
}

// furnish keeps the mounts of the laboratory to itself, and gives it a /proc of its
// own processes, which ckptfs asks about its writers.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts to itself: %w", err)
	}
	if err := letGo(); err != nil {
		return fmt.Errorf("let go of other mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// letGo drops the copies that a new namespace has of others' mounts: they would
// keep alive what its owner unmounts. What files of this process lie on stays.
func letGo() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	needed := []string{exe, cwd, os.Getenv(scratchVar)}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	slices.Reverse(lines) // the newest first
	for _, line := range lines {
		about, kind, _ := strings.Cut(line, " - ")
		at := unescape.Replace(strings.Fields(about)[4])
		kind, source, _ := strings.Cut(kind, " ")
		if !strings.HasPrefix(kind, "fuse") && !strings.HasPrefix(source, "/dev/loop") {
			continue
		}
		if !slices.ContainsFunc(needed, func(p string) bool { return strings.HasPrefix(p+"/", strings.TrimSuffix(at, "/")+"/") }) {
			_ = unix.Unmount(at, unix.MNT_DETACH) // one that lies below another is gone with it
		}
	}
	return nil
}

// unescape reads a path as the kernel writes it in a list of mounts.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// scratch is a new directory of the laboratory; it goes with it.
func scratch(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv(scratchVar), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// child is this binary in one of its roles.
func child(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}
