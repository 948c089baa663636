package fs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// New files belong to the caller, in a setgid directory to its group, with the
// mode that the caller's umask leaves; what the permissions forbid stays
// forbidden although the daemon is root.
func TestOwnersAndPermissions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount for others and act as two users")
	}
	dir := copyRun(t)
	for p := dir; p != "/"; p = filepath.Dir(p) { // the other user has to get there
		if st, err := os.Stat(p); err == nil && strings.Contains(p, "Test") {
			os.Chmod(p, st.Mode().Perm()|0o055)
		}
	}
	const group = 4321
	for _, name := range []string{"logs", "last_checkpoint"} {
		p := filepath.Join(dir, name)
		os.MkdirAll(p, 0o777)
		if err := os.Chown(p, 0, group); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, 0o777|os.ModeSetgid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := mountOver(t, dir, "", "CKPTFS_TEST_ALLOW_OTHER=1")
	asNobody := func(script string) error {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return errors.New(strings.TrimSpace(string(out)))
		}
		return nil
	}
	for _, name := range []string{"logs", "last_checkpoint"} {
		p := m.path(name)
		if err := asNobody("umask 027; echo x > " + p + "/f; mkdir " + p + "/d; ln -s f " + p + "/l"); err != nil {
			t.Fatalf("in %s: %v", name, err)
		}
		for _, c := range []struct {
			entry string
			mode  uint32
		}{{"f", unix.S_IFREG | 0o640}, {"d", unix.S_IFDIR | unix.S_ISGID | 0o750}, {"l", unix.S_IFLNK | 0o777}} {
			var st unix.Stat_t
			eventually(t, "the file is published", func() bool { return unix.Lstat(filepath.Join(p, c.entry), &st) == nil })
			if st.Uid != 65534 || st.Gid != group || st.Mode != c.mode {
				t.Errorf("%s/%s: uid %d gid %d mode %o, want 65534 %d %o", name, c.entry, st.Uid, st.Gid, st.Mode, group, c.mode)
			}
		}
	}
	for _, forbidden := range []string{
		"cat " + m.path("secret"),
		"echo x > " + m.path("best_model/config.json"),
		"rm " + m.path("best_model/config.json"),
		"echo settle > " + m.path(".ckptfs/control"),
		"mkdir " + m.path("by-epoch/9"),
	} {
		if err := asNobody(forbidden); err == nil {
			t.Errorf("an ordinary user could: %s", forbidden)
		}
	}
}

// An ioctl would be carried out with the daemon's rights: none is.
func TestIoctlsAreRefused(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	for _, p := range []string{"last_checkpoint/config.json", "last_checkpoint", "resume/config.json", "."} {
		fd, err := unix.Open(m.path(p), unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err != unix.ENOTTY {
			t.Errorf("%s: ioctl answers %v, want ENOTTY", p, err)
		}
		unix.Close(fd)
	}
}
