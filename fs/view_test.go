package fs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func target(t *testing.T, p string) string { t.Helper(); return about(t, p, "target") }

func state(t *testing.T, p string) string { t.Helper(); return about(t, p, "state") }

// about reads what ckptfs says of a checkpoint or a view.
func about(t *testing.T, p, what string) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := unix.Getxattr(p, "user.ckptfs."+what, buf)
	if err != nil {
		t.Fatalf("%s of %s: %v", what, p, err)
	}
	return string(buf[:n])
}

func TestViewsOfARealRun(t *testing.T) {
	dir := copyRun(t)
	m := mountOver(t, dir, "")
	for view, want := range map[string]string{
		"resume": "last_checkpoint", "latest": "checkpoint_epoch3_step4", "best": "best_model",
		"by-epoch/1": "checkpoint_epoch1_step8", "by-epoch/2": "last_checkpoint", "by-epoch/3": "checkpoint_epoch3_step4",
		"by-step/4": "checkpoint_epoch1_step4", "by-step/8": "checkpoint_epoch1_step8", "by-step/14": "checkpoint_epoch2_step4",
		"by-step/18": "checkpoint_epoch2_step8", "by-step/20": "last_checkpoint", "by-step/24": "checkpoint_epoch3_step4",
	} {
		if got := target(t, m.path(view)); got != want {
			t.Errorf("%s is %s, want %s", view, got, want)
		}
		if a, b := read(t, m.path(view, "training_state.pth")), read(t, m.path(want, "training_state.pth")); a != b {
			t.Errorf("%s and %s hold different bytes", view, want)
		}
	}
	entries, err := os.ReadDir(m.mnt)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(m.mnt)
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil || len(entries) != 13 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if tail := strings.Join(names[len(names)-5:], " "); tail != "latest resume best by-epoch by-step" {
		t.Errorf("the views are not last: %v", names)
	}
	for _, p := range []string{"latest/new", "resume/config.json", "by-epoch/x", "best/sub/x"} {
		if err := os.WriteFile(m.path(p), nil, 0o644); err == nil {
			t.Errorf("%s could be written", p)
		}
	}
	if err := os.Remove(m.path("latest/config.json")); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("unlink in a view: %v", err)
	}
}

// A process that has opened a view, or stands in it, keeps the version that it
// saw; a path that is looked up afresh gets the newest.
func TestViewIsHeld(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	old := read(t, m.path("resume/training_state.pth"))
	root, err := os.OpenRoot(m.path("resume"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for n := range 4 { // further than the history goes
		if err := writeAll(m.path("last_checkpoint"), fmt.Sprintf("%06d", n+1)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the view moves", func() bool {
			token, err := load(m.path("resume"))
			return err == nil && token == fmt.Sprintf("%06d", n+1)
		})
		b, err := root.ReadFile("training_state.pth")
		if err != nil || string(b) != old {
			t.Fatalf("after save %d the open directory shows something else: %v", n+1, err)
		}
	}
}

// The live name of a directory is one node for as long as it lives.
func TestLiveDirectoryIsStable(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	var before, after unix.Stat_t
	if err := unix.Stat(m.path("last_checkpoint"), &before); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(m.path("last_checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := writeAll(m.path("last_checkpoint"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is committed", func() bool { token, _ := load(m.path("resume")); return token == "000001" })
	if err := unix.Fstat(int(dir.Fd()), &after); err != nil || after.Ino != before.Ino {
		t.Errorf("the open directory is %d, was %d, %v", after.Ino, before.Ino, err)
	}
	if err := unix.Stat(m.path("last_checkpoint"), &after); err != nil || after.Ino != before.Ino {
		t.Errorf("the name is %d, was %d, %v", after.Ino, before.Ino, err)
	}
	fd, err := unix.Openat(int(dir.Fd()), "config.json", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatalf("open beneath a descriptor from before the save: %v", err)
	}
	unix.Close(fd)
}

// Every tool works on views as on directories.
func TestToolsOnViews(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	out := t.TempDir()
	want := read(t, m.path("last_checkpoint/pytorch_model.bin"))
	for _, c := range []struct{ name, command, result string }{
		{"cp", "cp -r resume $OUT/cp", "cp/pytorch_model.bin"},
		{"cp -a", "cp -a resume $OUT/cpa", "cpa/pytorch_model.bin"},
		{"tar", "tar cf - resume by-epoch | tar xf - -C $OUT", "by-epoch/2/pytorch_model.bin"},
		{"rsync", "rsync -a resume/ $OUT/rsync/", "rsync/pytorch_model.bin"},
		{"find", "find resume -type f -name '*.bin' -exec cp {} $OUT/found.bin ';'", "found.bin"},
		{"cat", "cd resume && cat pytorch_model.bin > $OUT/cat.bin", "cat.bin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(strings.Fields(c.name)[0]); err != nil {
				t.Skipf("%s is not installed", c.name)
			}
			cmd := exec.Command("sh", "-c", c.command)
			cmd.Dir = m.mnt
			cmd.Env = append(os.Environ(), "OUT="+out)
			if b, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if got := read(t, filepath.Join(out, c.result)); got != want {
				t.Error("the copy differs")
			}
		})
	}
	f, err := os.Open(m.path("resume/pytorch_model.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil || string(b) != want {
		t.Errorf("mmap: %v", err)
	}
	unix.Munmap(b)
}

// rm -rf of a run works, views and all.
func TestRemoveARun(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "codebert"), os.DirFS(run)); err != nil {
		t.Fatal(err)
	}
	m := mountOver(t, dir, "")
	if got := target(t, m.path("codebert/resume")); got != "last_checkpoint" {
		t.Errorf("codebert/resume is %s", got)
	}
	if out, err := exec.Command("rm", "-rf", m.path("codebert")).CombinedOutput(); err != nil {
		t.Fatalf("rm -rf: %v: %s", err, out)
	}
	if exists(m.path("codebert")) {
		t.Error("it is still there")
	}
}

// The pruner takes what the policy says, at once after the commit that allows
// it, and never what a view resolves to (P6).
func TestPruneInTheBackground(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\nretention: {mid_epoch: {keep_last: 1, when: epoch_end}}\n")
	if !exists(m.path("checkpoint_epoch1_step4")) {
		t.Fatal("pruned before any commit")
	}
	if err := writeAll(m.path("last_checkpoint"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old mid-epoch checkpoints are gone", func() bool {
		return !exists(m.path("checkpoint_epoch1_step4")) && !exists(m.path("checkpoint_epoch1_step8"))
	})
	for _, p := range []string{"checkpoint_epoch3_step4", "latest/config.json", "resume/config.json", "best/config.json"} {
		if !exists(m.path(p)) {
			t.Errorf("%s is gone", p)
		}
	}
	if events := read(t, m.path(".ckptfs/events")); !strings.Contains(events, `"prune"`) {
		t.Error("no event tells of it")
	}
}

func TestDuCountsOnce(t *testing.T) {
	dir := copyRun(t)
	before, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	m := mountOver(t, dir, "")
	after, err := exec.Command("du", "-s", "--block-size=1", m.mnt).Output()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Fields(string(before))[0], strings.Fields(string(after))[0]; a != b {
		t.Errorf("du says %s below and %s through the mount", a, b)
	}
}

// A version that no view resolves to any more leaves the disk once nobody reads
// from it, however it was read: through two views, or through a directory that
// stayed open while the view moved on.
func TestVersionIsLetGo(t *testing.T) {
	if !kernelForgets() {
		t.Skip("before Linux 6.18 a file system cannot ask the kernel to forget what nobody uses")
	}
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\nretention: {history: {keep_last: 0}, trash_ttl: 10ms}\n")
	for _, view := range []string{"resume", "by-epoch/2", "by-step/20"} {
		if _, err := load(m.path(view)); err != nil {
			t.Fatal(err)
		}
	}
	open, err := os.OpenRoot(m.path("resume"))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeAll(m.path("last_checkpoint"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view has moved", func() bool { token, _ := load(m.path("resume")); return token == "000001" })
	if _, err := open.ReadFile("training_state.pth"); err != nil {
		t.Errorf("the version that was open: %v", err)
	}
	open.Close()
	eventually(t, "the trash is empty", func() bool {
		if err := os.WriteFile(m.path(".ckptfs/control"), []byte("housekeep"), 0); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(strings.Fields(statusOf(t, m)), ""), `"trash":{"entries":0,`)
	})
}

// kernelForgets reports whether there is FUSE_NOTIFY_PRUNE.
func kernelForgets() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 18
}
