package fs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An ordinary user gets ENOSPC through a mount of root where it comes directly
// on the disk (P7): what the file system keeps for root stays root's. With
// passthrough the kernel writes, with the rights of whoever registered the file.
func TestReserveIsRoots(t *testing.T) {
	const nobody = 65534
	disk := smallDisk(t, 64, append(ext4, "-m", "20")...)
	dir := filepath.Join(disk, "run")
	for _, p := range []string{dir, filepath.Join(dir, "last_checkpoint"), filepath.Join(dir, "logs")} {
		if err := os.Mkdir(p, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	direct, said := fill(t, filepath.Join(dir, "logs", "filler"), nobody)
	if !strings.Contains(said, "No space left on device") {
		t.Fatalf("directly on the disk: %s", said)
	}
	os.Remove(filepath.Join(dir, "logs", "filler"))
	m := mountOver(t, dir, "", "CKPTFS_TEST_ALLOW_OTHER=1")
	through := func(name string, uid uint32) int64 {
		t.Helper()
		fitted, said := fill(t, m.path(name), uid)
		if !strings.Contains(said, "No space left on device") {
			t.Errorf("%s: %s", name, said)
		}
		return fitted
	}
	reserve := through("logs/filler", 0)
	if reserve < direct+5<<20 {
		t.Fatalf("root gets %d bytes, an ordinary user %d: the disk has no reserve", reserve, direct)
	}
	os.Remove(m.path("logs/filler"))
	for _, name := range []string{"logs/filler", "last_checkpoint/pytorch_model.bin"} {
		// ckptfs itself takes a few blocks.
		if got := through(name, nobody); got > direct || got < direct-1<<20 {
			t.Errorf("%s takes %d bytes, and %d when it is written directly", name, got, direct)
		}
		os.Remove(m.path(name))
	}
}
