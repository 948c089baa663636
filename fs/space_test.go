package fs_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Several trainers delete before they write: what lies in the trash makes room
// for the next save, and statfs counts it as free.
func TestTrashMakesRoom(t *testing.T) {
	dir := smallDisk(t, 40, "tmpfs")
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

// A save that becomes larger than any before it is not known to when it begins.
// With passthrough nobody hears of its writes; the trash gives way before they
// fail, and min_free stays free.
func TestRoomIsMadeWhileAWriterWrites(t *testing.T) {
	const minFree, chunk = 32 << 20, 4 << 20
	dir := smallDisk(t, 256, "tmpfs")
	m := mountOver(t, dir, "save: {settle: 10ms}\nretention: {min_free: 32MiB}\n")
	for name, size := range map[string]int{"last_checkpoint": 1 << 20, "best_model": 96 << 20} {
		if err := os.Mkdir(m.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, content := range saveFiles(name, size) {
			if err := os.WriteFile(m.path(name, file), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "both are committed", func() bool { return m.status().Commits == 2 })
	if err := os.RemoveAll(m.path("best_model")); err != nil {
		t.Fatal(err)
	}
	if st := m.status(); st.Trash.Entries != 1 {
		t.Fatalf("the trash holds %+v", st.Trash)
	}
	f, err := os.Create(m.path("last_checkpoint", "pytorch_model.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, chunk)
	for written := 0; written < 200<<20; written += chunk {
		if _, err := f.Write(data); err != nil {
			t.Fatalf("after %d MiB: %v", written>>20, err)
		}
		time.Sleep(20 * time.Millisecond) // the pace of a disk, not of memory
	}
	if st := m.status(); st.Trash.Entries != 0 {
		t.Errorf("the trash holds %+v", st.Trash)
	}
	if free := freeOf(t, dir); free < minFree {
		t.Errorf("%d MiB are free", free>>20)
	}
}
