package fs_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a file system with checksums of its own refuses to read is damaged: the
// checkpoint is marked, and the views show another one (P1). Once the file is
// written back it is whole again.
func TestVerifyUnreadable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a disk that has rotten")
	}
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		t.Skip("mkfs.btrfs is not installed")
	}
	dir := t.TempDir()
	image := makeImage(t, 256, btrfs...)
	mountImage(t, image, dir)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	run := filepath.Join(dir, "run")
	if err := os.CopyFS(run, os.DirFS("../testdata/runs/enstack")); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 256<<10)
	random.Read(content)
	extra := filepath.Join(run, "last_checkpoint", "extra.bin")
	if err := os.WriteFile(extra, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	disk, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const in = 100_000
	at := bytes.Index(disk, content[in:in+64])
	if at < 0 {
		t.Fatal("the file is not on the disk")
	}
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{content[in] ^ 1}, int64(at))
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}

	mountImage(t, image, dir)
	m := mountOver(t, run, "save: {settle: 50ms}\n")
	rep := m.ask("verify --deep last_checkpoint").report()
	if len(rep.Checkpoints) != 1 || !strings.Contains(strings.Join(rep.Checkpoints[0].Damage(), "; "), "extra.bin: the disk cannot read it: input/output error") {
		t.Fatalf("a file cannot be read: %+v", rep)
	}
	if got := target(t, m.path("resume")); got != "recovery_checkpoint" {
		t.Errorf("resume/ shows %s", got)
	}
	m.stop()
	if err := os.WriteFile(extra, content, 0o644); err != nil {
		t.Fatal(err)
	}
	m.start()
	eventually(t, "it is whole again", func() bool { return target(t, m.path("resume")) == "last_checkpoint" })
	m.stop()
}
