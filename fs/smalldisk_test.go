package fs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a new file system of so many MiB, and takes it down when the
// test ends. mkfs makes it on an image; "tmpfs" needs none.
func smallDisk(t *testing.T, mib int, mkfs ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if mkfs[0] == "tmpfs" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
			t.Skipf("a small tmpfs cannot be mounted here: %v", err)
		}
	} else {
		if _, err := exec.LookPath(mkfs[0]); err != nil {
			t.Skipf("%s is not installed", mkfs[0])
		}
		mountImage(t, makeImage(t, mib, mkfs...), dir)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount the disk: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	// Whoever is to write there has to get there.
	for p := dir; p != "/"; p = filepath.Dir(p) {
		if st, err := os.Stat(p); err == nil && strings.Contains(p, "Test") {
			os.Chmod(p, st.Mode().Perm()|0o055)
		}
	}
	return dir
}

// makeImage makes a file system in a file.
func makeImage(t *testing.T, mib int, mkfs ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(mkfs, " "), err, out)
	}
	return image
}

// mountImage mounts it by way of a loop device, which goes with the mount.
func mountImage(t *testing.T, image, dir string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("a file cannot be mounted as a disk here: %s", out)
	}
}

// ext4 and btrfs make the file systems of the tests.
var (
	ext4  = []string{"mkfs.ext4", "-q", "-F"}
	btrfs = []string{"mkfs.btrfs", "-q"}
)

// freeOf is how many bytes an ordinary user may still write.
func freeOf(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fill writes a file through a process of a user until it hears of an error, and
// says how much fitted and what it heard.
func fill(t *testing.T, file string, uid uint32) (fitted int64, said string) {
	t.Helper()
	cmd := exec.Command("dd", "if=/dev/zero", "of="+file, "bs=64k", "conv=fsync")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("%s took everything", file)
	}
	said = string(out)
	for line := range strings.Lines(said) {
		fmt.Sscanf(line, "%d bytes", &fitted)
	}
	return fitted, said
}
