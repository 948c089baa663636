package fs_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func target(t *testing.T, p string) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := unix.Getxattr(p, "user.ckptfs.target", buf)
	if err != nil {
		t.Fatalf("target of %s: %v", p, err)
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
