package fs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Past the daemon the kernel writes with the rights of whoever has opened a file
// first. That takes no set-id bits when it is root; a user who writes takes them all
// the same, as on the disk, and root leaves them (P5).
func TestSetIDOfAFileThatRootHasOpen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount for others and act as several users")
	}
	for name, env := range map[string][]string{"passthrough": nil, "no passthrough": {"CKPTFS_TEST_NO_PASSTHROUGH=1"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			open(dir)
			m := mountOver(t, dir, "", append(env, "CKPTFS_TEST_ALLOW_OTHER=1")...)
			for _, where := range []string{"logs", "last_checkpoint"} {
				file := m.path(where, "program")
				if err := os.Mkdir(m.path(where), 0o777); err != nil {
					t.Fatal(err)
				}
				os.Chmod(m.path(where), 0o777)
				f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o777)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				for _, turn := range []struct {
					user uint32
					want os.FileMode
				}{{0, 0o777 | os.ModeSetuid | os.ModeSetgid}, {bob, 0o777}} {
					if err := f.Chmod(0o777 | os.ModeSetuid | os.ModeSetgid); err != nil {
						t.Fatal(err)
					}
					cmd := exec.Command("sh", "-c", `printf x >> "$0"`, file)
					cmd.Dir = "/"
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: turn.user, Gid: turn.user}}
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					if st, err := f.Stat(); err != nil || st.Mode() != turn.want {
						t.Errorf("in %s, when user %d has written: %v, %v; want %v", where, turn.user, st.Mode(), err, turn.want)
					}
				}
			}
		})
	}
}

// A write asks the daemon for nothing, but the first after something was said of the
// file (P8).
func TestWritesAskNothing(t *testing.T) {
	m := mountOver(t, t.TempDir(), "", "CKPTFS_TEST_DEBUG=1")
	if err := os.Mkdir(m.path("last_checkpoint"), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(m.path("last_checkpoint", "training_state.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := read(t, m.log)
	const writes = 64
	for range writes {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	sent := strings.TrimPrefix(read(t, m.log), before)
	if n := strings.Count(sent, ": GETXATTR"); n > 2 {
		t.Errorf("%d writes to %s sent %d GETXATTR", writes, filepath.Base(f.Name()), n)
	}
	if m.passthrough && strings.Contains(sent, ": WRITE") {
		t.Error("the writes came to the daemon")
	}
}
