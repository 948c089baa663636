package fs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Several trainers delete before they write: what lies in the trash makes room
// for the next save, and statfs counts it as free.
func TestTrashMakesRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m"); err != nil {
		t.Skipf("a small tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	m := mountOver(t, dir, "save: {settle: 10ms}\n")
	save := func(name string) {
		t.Helper()
		if err := os.MkdirAll(m.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, content := range saveFiles(name, 10<<20) {
			if err := os.WriteFile(m.path(name, file), content, 0o644); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		eventually(t, name+" is committed", func() bool { token, _ := load(m.path("latest")); return token == name })
	}
	save("checkpoint_epoch1_step1")
	for _, name := range []string{"checkpoint_epoch1_step2", "checkpoint_epoch1_step3", "checkpoint_epoch1_step4", "checkpoint_epoch1_step5"} {
		old, _ := filepath.EvalSymlinks(m.path(target(t, m.path("latest"))))
		save(name)
		if err := os.RemoveAll(old); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(filepath.Join(dir, "checkpoint_epoch1_step5"))
	if len(entries) != 3 {
		t.Errorf("the last checkpoint holds %d files", len(entries))
	}
}
