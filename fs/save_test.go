package fs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// saveInPlace writes a checkpoint's files with the content of another.
func saveInPlace(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range checkpointFiles {
		if err := os.WriteFile(filepath.Join(to, name), []byte(read(t, filepath.Join(from, name))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const run = "../testdata/runs/enstack"

func TestSavePatterns(t *testing.T) {
	for _, c := range []struct {
		name string
		save func(t *testing.T, m *mounted)
	}{
		{"in place, new", func(t *testing.T, m *mounted) {
			saveInPlace(t, run+"/last_checkpoint", m.path("checkpoint_epoch9_step1"))
			eventually(t, "it is committed", func() bool { return exists(m.path("by-epoch/9")) })
		}},
		{"overwrite in place", func(t *testing.T, m *mounted) {
			saveInPlace(t, run+"/recovery_checkpoint", m.path("last_checkpoint"))
			if got := read(t, m.path("resume/training_state.pth")); got != read(t, run+"/last_checkpoint/training_state.pth") {
				t.Error("resume/ moved before the commit")
			}
			eventually(t, "resume/ shows it", func() bool {
				return read(t, m.path("resume/training_state.pth")) == read(t, run+"/recovery_checkpoint/training_state.pth")
			})
		}},
		{"tmp then rename", func(t *testing.T, m *mounted) {
			saveInPlace(t, run+"/last_checkpoint", m.path(".tmp_checkpoint_epoch9_step1_abcdefgh"))
			if err := os.Rename(m.path(".tmp_checkpoint_epoch9_step1_abcdefgh"), m.path("checkpoint_epoch9_step1")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is committed", func() bool { return exists(m.path("by-epoch/9")) })
		}},
		{"rename aside, rename in, remove", func(t *testing.T, m *mounted) {
			old := read(t, run+"/last_checkpoint/training_state.pth")
			is := func(when string) {
				t.Helper()
				if got := read(t, m.path("resume/training_state.pth")); got != old {
					t.Errorf("%s: resume/ does not show the old one", when)
				}
			}
			saveInPlace(t, run+"/recovery_checkpoint", m.path(".tmp_last_checkpoint_abcdefgh"))
			is("written")
			if err := os.Rename(m.path("last_checkpoint"), m.path(".backup_last_checkpoint")); err != nil {
				t.Fatal(err)
			}
			is("renamed aside")
			if exists(m.path("last_checkpoint")) {
				t.Error("the live name is still there")
			}
			if err := os.Rename(m.path(".tmp_last_checkpoint_abcdefgh"), m.path("last_checkpoint")); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(m.path(".backup_last_checkpoint")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "resume/ shows the new one", func() bool {
				return read(t, m.path("resume/training_state.pth")) == read(t, run+"/recovery_checkpoint/training_state.pth")
			})
		}},
		{"rmtree then write", func(t *testing.T, m *mounted) {
			if err := os.RemoveAll(m.path("last_checkpoint")); err != nil {
				t.Fatal(err)
			}
			if got := target(t, m.path("resume")); got != "recovery_checkpoint" {
				t.Errorf("resume/ is %s", got)
			}
			saveInPlace(t, run+"/best_model", m.path("last_checkpoint"))
			eventually(t, "it is committed", func() bool { return target(t, m.path("resume")) == "last_checkpoint" })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mountOver(t, copyRun(t), "")
			c.save(t, m)
			m.stop()
			for _, e := range []string{"staging", "journal"} {
				if left, _ := os.ReadDir(filepath.Join(m.back, ".ckptfs", e)); len(left) > 0 {
					t.Errorf("%s holds %v", e, left)
				}
			}
			out, err := exec.Command("find", m.back, "-name", ".backup_*", "-o", "-name", ".tmp_*").Output()
			if err != nil || len(out) > 0 {
				t.Errorf("left in the backing directory: %s %v", out, err)
			}
		})
	}
}

func exists(p string) bool {
	_, err := os.Lstat(p)
	return err == nil
}
