// Package powercut cuts the power under real file systems.
//
// A file system in a disk image (ext4, XFS, btrfs) holds a run for each
// pattern of package saves. One ckptfs is mounted over them, and a trainer saves in
// each. At random instants the image is taken as a power cut would leave it:
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
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/figures"
)

const roleVar = "POWERCUT_ROLE" // what a process of this binary is

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
