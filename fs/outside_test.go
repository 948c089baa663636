package fs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that was at work in the directory before it was mounted goes on
// beneath. What it changes is seen: no view shows a checkpoint that is torn (P1),
// and what it makes is adopted.
func TestChangesBeneathTheMount(t *testing.T) {
	dir := copyRun(t)
	beneath, err := os.OpenRoot(dir) // before the mount
	if err != nil {
		t.Fatal(err)
	}
	defer beneath.Close()
	m := mountOver(t, dir, "save: {settle: 50ms}\n")
	old := read(t, m.path("resume/training_state.pth"))
	if got := read(t, m.path("last_checkpoint/training_state.pth")); got != old { // the kernel remembers it
		t.Fatal("the live name shows something else")
	}

	f, err := beneath.OpenFile("last_checkpoint/training_state.pth", os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(old[:1000]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "resume/ goes elsewhere", func() bool { return target(t, m.path("resume")) == "recovery_checkpoint" })
	eventually(t, "the live name shows what was written", func() bool {
		b, err := os.ReadFile(m.path("last_checkpoint/training_state.pth"))
		return err == nil && string(b) == old[:1000]
	})
	if _, err := f.WriteString(old[1000:]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is whole again", func() bool { return target(t, m.path("resume")) == "last_checkpoint" })
	if got := read(t, m.path("resume/training_state.pth")); got != old {
		t.Error("resume/ shows something else")
	}

	for _, name := range checkpointFiles { // a copy that appears
		if err := beneath.MkdirAll("checkpoint_epoch9_step1", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := beneath.WriteFile("checkpoint_epoch9_step1/"+name, []byte(read(t, filepath.Join(run, "last_checkpoint", name))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it is adopted", func() bool { return exists(m.path("by-epoch/9")) })
	if err := beneath.RemoveAll("checkpoint_epoch9_step1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return !exists(m.path("by-epoch/9")) && !exists(m.path("checkpoint_epoch9_step1")) })
}

// What is done through the mount is no change from outside.
func TestOwnChangesAreNotFromOutside(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	name := m.path("last_checkpoint/config.json")
	when := []unix.Timespec{{Sec: 1_600_000_000}, {Sec: 1_600_000_000}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, when, 0); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	when[1].Sec++
	if err := unix.UtimesNanoAt(int(f.Fd()), "", when, unix.AT_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"000001", "000002", "000003"} {
		if err := writeAll(m.path("last_checkpoint"), token); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is committed", func() bool { got, _ := load(m.path("resume")); return got == token })
	}
	inNewRun := m.path("new", "checkpoint_epoch1_step1")
	if err := writeAll(inNewRun, "000004"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is committed", func() bool { return state(t, inNewRun) == "committed" })
	events := read(t, m.path(".ckptfs/events"))
	for _, what := range []string{"changed-outside", "vanished", "adopt"} {
		if strings.Contains(events, `"`+what+`"`) {
			t.Errorf("%s: %s", what, events)
		}
	}
}
