package fs_test

import (
	"os"
	"os/exec"
	"testing"
)

// A checkpoint's name that is a link is another name of its target: what is
// written through it is a save of the target, and ln -sfn moves it.
func TestAlias(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	link := func(to string) {
		t.Helper()
		if out, err := exec.Command("ln", "-sfn", to, m.path("swa_model")).CombinedOutput(); err != nil {
			t.Fatalf("ln: %v: %s", err, out)
		}
		if got, err := os.Readlink(m.path("swa_model")); err != nil || got != to {
			t.Errorf("it is a link to %q, %v", got, err)
		}
		if got := target(t, m.path("swa_model")); got != to {
			t.Errorf("through it one sees %s", got)
		}
	}
	link("checkpoint_epoch1_step4")
	link("recovery_checkpoint")
	if err := writeAll(m.path("swa_model"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the save of the target is committed", func() bool {
		token, err := load(m.path("recovery_checkpoint"))
		return err == nil && token == "000001" && state(t, m.path("recovery_checkpoint")) == "committed"
	})
	if err := os.Remove(m.path("swa_model")); err != nil {
		t.Fatal(err)
	}
	if token, err := load(m.path("recovery_checkpoint")); err != nil || token != "000001" {
		t.Errorf("without the link the target is %q, %v", token, err)
	}
}
