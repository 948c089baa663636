package fs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/saves"
)

// A disk that fails turns read-only: ext4 does so at an error. The writer gets
// EROFS, in whatever call it notices; what was committed can be read, ckptfs goes
// on answering and comes down in the orderly way, and once the disk is repaired
// the next save works (P2, P7).
func TestDiskTurnsReadOnly(t *testing.T) {
	for _, pattern := range []string{saves.Overwrite, saves.RenameAside, saves.InPlaceNew} {
		for _, open := range []bool{false, true} {
			name := pattern
			if open {
				name += ", in the middle of a file"
			}
			t.Run(name, func(t *testing.T) {
				dir := smallDisk(t, 1, "tmpfs") // the mountpoint
				image := makeImage(t, 64, append(ext4, "-e", "remount-ro")...)
				mountImage(t, image, dir)
				t.Cleanup(func() { unix.Unmount(dir, 0) })
				c := crowd(t, dir, "save: {settle: 10ms}\n")
				c.save("0")
				var f *os.File
				if open {
					var err error
					if f, err = os.Create(c.path("last_checkpoint", "pytorch_model.bin")); err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					if _, err := f.Write(make([]byte, 1<<20)); err != nil {
						t.Fatal(err)
					}
				}
				failDisk(t, dir)
				if open {
					_, err := f.Write(make([]byte, 1<<20))
					if sync := f.Sync(); err == nil {
						err = sync
					}
					if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EIO) {
						t.Errorf("write and fsync: %v, want EROFS or EIO", err)
					}
					f.Close()
				}
				if err := saves.Save(c.mnt, pattern, "1", pad); !errors.Is(err, unix.EROFS) {
					t.Errorf("save: %v, want EROFS", err)
				}
				c.shows("read-only", "0")
				c.whole("read-only")
				if got := c.status(); got.Commits != 1 {
					t.Errorf("%d commits", got.Commits)
				}
				c.stop()
				if err := unix.Unmount(dir, 0); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command("e2fsck", "-fy", image).CombinedOutput(); err != nil && err.(*exec.ExitError).ExitCode() > 1 {
					t.Fatalf("e2fsck: %v\n%s", err, out)
				}
				mountImage(t, image, dir)
				c.start()
				c.shows("repaired", "0")
				c.save("2")
				c.plain()
			})
		}
	}
}

// failDisk has ext4 meet an error.
func failDisk(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("findmnt", "-nro", "SOURCE", dir).Output()
	if err != nil {
		t.Skipf("findmnt: %v", err)
	}
	device := filepath.Base(string(out[:len(out)-1]))
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", device, "trigger_fs_error"), []byte("a test\n"), 0); err != nil {
		t.Skipf("ext4 cannot be told to fail here: %v", err)
	}
}

// The administrator has the disk read-only for a while: where the kernel allows
// that under an open mount, saves fail with EROFS, and work again after it,
// without a remount of ckptfs.
func TestDiskIsReadOnlyForAWhile(t *testing.T) {
	dir := smallDisk(t, 64, ext4...)
	c := crowd(t, dir, "save: {settle: 10ms}\n")
	c.save("0")
	remount := func(how string) error {
		out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput()
		if err != nil {
			t.Logf("remount %s: %s", how, out)
		}
		return err
	}
	refused := remount("ro") != nil // ckptfs holds its lock open for writing
	err := saves.Save(c.mnt, saves.Overwrite, "1", pad)
	if refused && err != nil || !refused && !errors.Is(err, unix.EROFS) {
		t.Errorf("refused %v; save: %v", refused, err)
	}
	if !refused {
		c.shows("read-only", "0")
		if err := remount("rw"); err != nil {
			t.Fatal(err)
		}
	}
	c.save("2")
	c.plain()
}
