// Package powercut cuts the power under real file systems.
//
// A file system in a disk image (ext4, XFS, btrfs) holds five runs. One ckptfs
// is mounted over them, and five trainers save in the five patterns of package
// saves. At random instants the image is taken as a power cut would leave it:
//
//   - TestSnapshots takes a reflink of the image: what the disk has accepted is
//     there, nothing else is;
//   - TestWriteCache writes down every block write and every flush, and builds
//     disks that have lost, reordered or torn what came after the last flush.
//
// Each image is mounted, which replays its journal, checked with fsck, recovered
// by ckptfs as after a boot, and read. Trainers without ckptfs save in the same
// images; a test whose control loses nothing has proved nothing, and fails.
//
// The tests run where `make powercut` runs them: as root, when CUTS says how
// many cuts there shall be for each file system.
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
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/figures"
)

const (
	roleVar    = "POWERCUT_ROLE"    // what a process of this binary is
	scratchVar = "POWERCUT_SCRATCH" // the directory of the laboratory
)

// The tests run in a laboratory: a process with mounts and processes of its own.
// When it ends, however it ends, the kernel ends all processes in it, which
// takes down its mounts, which gives back its loop devices.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "daemon":
		os.Exit(daemon(os.Args[1], os.Args[2], os.Args[3]))
	case "trainer":
		os.Exit(trainer(os.Args[1:]))
	case "noise":
		os.Exit(noise(os.Args[1]))
	case "disk":
		os.Exit(serveDisk(os.Args[1], os.Args[2], os.Args[3]))
	case "laboratory":
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "the laboratory:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if unable = obstacle(); unable == "" && os.Getenv("CUTS") != "" {
		status, err := enterLaboratory()
		if !errors.Is(err, unix.EPERM) {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			os.Exit(status)
		}
		unable = "namespaces of its own are refused here; a container needs --privileged"
	}
	os.Exit(m.Run())
}

// unable says why no power can be cut here.
var unable string

// obstacle looks for what the tests need.
func obstacle() string {
	if os.Geteuid() != 0 {
		return "only root can attach and mount disk images"
	}
	for _, dev := range []string{"/dev/fuse", "/dev/loop-control"} {
		if _, err := os.Stat(dev); err != nil {
			return fmt.Sprintf("%v: load the module, or give the container the device", err)
		}
	}
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		return "the image is kept on XFS, for its reflinks: install xfsprogs"
	}
	return ""
}

// cuts is how many are asked for, for each file system and model.
func cuts(t *testing.T) int {
	t.Helper()
	if os.Getenv("CUTS") == "" {
		t.Skip("it takes a minute or more: run make powercut")
	}
	if unable != "" {
		skip(t, "power cuts", unable)
	}
	n, err := strconv.Atoi(os.Getenv("CUTS"))
	if err != nil || n < 1 {
		t.Fatalf("CUTS=%s is no number of cuts", os.Getenv("CUTS"))
	}
	return n
}

// skip says why also where the figures are read: who has asked for power cuts
// must not take none for no violations.
func skip(t *testing.T, subject, why string) {
	t.Helper()
	figures.Report(t, subject, "none: %s", why)
	t.Skip(why)
}

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
