package fs_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// torchFiles are whole torch files that differ.
func torchFiles(t *testing.T) (one, two, three string) {
	t.Helper()
	return read(t, run+"/last_checkpoint/training_state.pth"), read(t, run+"/recovery_checkpoint/training_state.pth"), read(t, run+"/checkpoint_epoch1_step4/training_state.pth")
}

func write(t *testing.T, p, data string) {
	t.Helper()
	if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// showsFile waits until a file of a view has a content.
func (m *mounted) showsFile(p, data string) {
	m.t.Helper()
	eventually(m.t, p+" shows what was saved", func() bool {
		b, err := os.ReadFile(m.path(p))
		return err == nil && string(b) == data
	})
}

// Checkpoints that are files, through a mount: saved in place, as Lightning does
// (O_TRUNC, times, modes), by other programs, and with views of what is committed
// (P1, P2, P4, P5).
func TestFileCheckpoints(t *testing.T) {
	one, two, three := torchFiles(t)
	m := mountOver(t, t.TempDir(), "layout: lightning\n")
	write(t, m.path("epoch=1-step=10.ckpt"), one)
	m.showsFile("latest/epoch=1-step=10.ckpt", one)
	write(t, m.path("last.ckpt"), one)
	m.showsFile("resume/last.ckpt", one)

	old, err := os.Open(m.path("resume/last.ckpt"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(m.path("last.ckpt"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(two); err != nil {
		t.Fatal(err)
	}
	if got := read(t, m.path("resume/last.ckpt")); got != one {
		t.Error("resume/ moved before the file was closed")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := os.Chtimes(m.path("last.ckpt"), when, when); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o600, 0o640} {
		if err := os.Chmod(m.path("last.ckpt"), mode); err != nil {
			t.Fatal(err)
		}
	}
	m.showsFile("resume/last.ckpt", two)
	got := make([]byte, len(one))
	if n, err := old.ReadAt(got, 0); n != len(one) || string(got) != one {
		t.Errorf("who had the old one open reads something else: %v", err)
	}
	old.Close() // it was only read
	for _, p := range []string{"last.ckpt", "resume/last.ckpt"} {
		eventually(t, p+" has the mode and the time that were set", func() bool {
			st, err := os.Stat(m.path(p))
			return err == nil && st.Mode() == 0o640 && st.ModTime().Equal(when)
		})
	}
	eventually(t, "du counts it once", func() bool {
		var live, view unix.Stat_t
		err := errors.Join(unix.Stat(m.path("last.ckpt"), &live), unix.Stat(m.path("resume/last.ckpt"), &view))
		return err == nil && live.Ino == view.Ino && live.Nlink > 1 && view.Nlink > 1
	})
	if got := state(t, m.path("last.ckpt")); got != "committed" {
		t.Errorf("it is %s", got)
	}

	// Other programs: copy in place, rename over, append to, remove.
	source := filepath.Join(t.TempDir(), "source")
	write(t, source, three)
	for _, c := range []struct {
		do   string
		want string
	}{
		{"cp " + source + " last.ckpt", three},
		{"cp 'epoch=1-step=10.ckpt' last.tmp && mv -f last.tmp last.ckpt", one},
		{"dd if=" + source + " of=last.ckpt bs=64k status=none", three},
	} {
		cmd := exec.Command("sh", "-c", c.do)
		cmd.Dir = m.mnt
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.do, err, out)
		}
		if got := read(t, m.path("last.ckpt")); got != c.want {
			t.Errorf("%s: the live file is something else", c.do)
		}
		m.showsFile("resume/last.ckpt", c.want)
	}
	out, err := exec.Command("ls", m.mnt).Output()
	if got := strings.Fields(string(out)); err != nil || len(got) < 2 || got[0] != "by-epoch" {
		t.Errorf("ls: %q, %v", got, err)
	}
	if err := os.Remove(m.path("last.ckpt")); err != nil {
		t.Fatal(err)
	}
	if exists(m.path("last.ckpt")) || exists(m.path("by-epoch/9")) {
		t.Error("it is there, removed")
	}
	write(t, m.path("last.ckpt"), two)
	m.showsFile("resume/last.ckpt", two)
	m.stop()
	for name, want := range map[string]string{"last.ckpt": two, "epoch=1-step=10.ckpt": one} {
		if got := read(t, filepath.Join(m.back, name)); got != want {
			t.Errorf("unmounted, %s is something else", name)
		}
	}
	m.start()
	m.showsFile("resume/last.ckpt", two)
}

// A mapping that is written to through, and a file that is grown bit by bit.
func TestFileCheckpointsInPlace(t *testing.T) {
	one, two, _ := torchFiles(t)
	m := mountOver(t, t.TempDir(), "layout: lightning\n")
	write(t, m.path("last.ckpt"), one)
	m.showsFile("resume/last.ckpt", one)
	f, err := os.OpenFile(m.path("last.ckpt"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(two))); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, len(two), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	copy(mem, two)
	if got := read(t, m.path("resume/last.ckpt")); got != one {
		t.Error("resume/ moved while the file was mapped")
	}
	if err := unix.Munmap(mem); err != nil {
		t.Fatal(err)
	}
	m.showsFile("resume/last.ckpt", two)

	f, err = os.OpenFile(m.path("best.ckpt"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for b := []byte(one); len(b) > 0; {
		n := min(len(b), 4096)
		if _, err := f.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if exists(m.path("best")) {
		t.Error("best/ is there, and nothing was closed")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.showsFile("best/best.ckpt", one)
}

// What timm does, with real links; and links that lead to files.
func TestLinkedFileCheckpoints(t *testing.T) {
	one, two, three := torchFiles(t)
	m := mountOver(t, t.TempDir(), "layout: timm\n")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	save := func(data, epoch string, best bool) {
		t.Helper()
		write(t, m.path("tmp.pth.tar"), data)
		if exists(m.path("last.pth.tar")) {
			do(os.Remove(m.path("last.pth.tar")))
		}
		do(os.Rename(m.path("tmp.pth.tar"), m.path("last.pth.tar")))
		do(os.Link(m.path("last.pth.tar"), m.path(epoch)))
		if best {
			if exists(m.path("model_best.pth.tar")) {
				do(os.Remove(m.path("model_best.pth.tar")))
			}
			do(os.Link(m.path("last.pth.tar"), m.path("model_best.pth.tar")))
		}
		for _, p := range []string{"last.pth.tar", epoch} {
			if got := read(t, m.path(p)); got != data {
				t.Errorf("%s is something else", p)
			}
		}
	}
	save(one, "checkpoint-0.pth.tar", true)
	m.showsFile("resume/last.pth.tar", one)
	m.showsFile("best/model_best.pth.tar", one)
	save(two, "checkpoint-1.pth.tar", false)
	m.showsFile("resume/last.pth.tar", two)
	m.showsFile("best/model_best.pth.tar", one)
	var a, b unix.Stat_t
	do(unix.Stat(m.path("last.pth.tar"), &a))
	do(unix.Stat(m.path("checkpoint-1.pth.tar"), &b))
	if a.Ino != b.Ino {
		t.Errorf("the links are %d and %d", a.Ino, b.Ino)
	}
	write(t, m.path("checkpoint-1.pth.tar"), three)
	if got := read(t, m.path("last.pth.tar")); got != two {
		t.Error("who writes to one name changes the other")
	}
	save(three, "checkpoint-2.pth.tar", true)
	m.showsFile("best/model_best.pth.tar", three)
	do(os.Remove(m.path("model_best.pth.tar")))
	do(os.Symlink("checkpoint-0.pth.tar", m.path("model_best.pth.tar")))
	m.showsFile("best/checkpoint-0.pth.tar", one)
	if got := read(t, m.path("model_best.pth.tar")); got != one {
		t.Error("the link leads elsewhere")
	}
	m.stop()
	for _, name := range []string{"last.pth.tar", "checkpoint-2.pth.tar", "checkpoint-1.pth.tar"} {
		if b, err := os.ReadFile(filepath.Join(m.back, name)); err != nil || !bytes.Equal(b, []byte(three)) {
			t.Errorf("unmounted, %s is something else (%v)", name, err)
		}
	}
}

// Files that are changed beneath the mount: in no view from then on, and shown again
// when they are found whole (P1).
func TestFilesBeneathTheMount(t *testing.T) {
	one, two, three := torchFiles(t)
	back := t.TempDir()
	m := mountAt(t, back, t.TempDir(), "layout: lightning\nsave: {settle: 50ms}\n")
	write(t, m.path("last.ckpt"), one)
	m.showsFile("resume/last.ckpt", one)
	beneath := filepath.Join(back, "last.ckpt")
	eventually(t, "what is torn is in no view", func() bool {
		// The watch of a new file follows its commit: so it is done until it is seen.
		if err := os.Truncate(beneath, 100); err != nil {
			t.Fatal(err)
		}
		return !exists(m.path("resume"))
	})
	write(t, beneath, two)
	m.showsFile("resume/last.ckpt", two)
	write(t, filepath.Join(back, "other"), three)
	if err := os.Rename(filepath.Join(back, "other"), beneath); err != nil {
		t.Fatal(err)
	}
	m.showsFile("resume/last.ckpt", three)
	eventually(t, "the live name shows it too", func() bool {
		b, err := os.ReadFile(m.path("last.ckpt")) // it may be without a name for a moment
		return err == nil && string(b) == three
	})
	if err := os.Remove(beneath); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return !exists(m.path("resume")) && !exists(m.path("last.ckpt")) })
	write(t, m.path("last.ckpt"), one)
	m.showsFile("resume/last.ckpt", one)
}
