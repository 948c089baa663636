package fs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// as runs a shell command as a user, and returns what it says when it fails.
func as(uid uint32, script string) error {
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return nil
}

// sharedRun is a mount of root that everybody may use.
func sharedRun(t *testing.T, prepare func(dir string)) *mounted {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount for others and act as several users")
	}
	dir := copyRun(t)
	open(dir)
	if prepare != nil {
		prepare(dir)
	}
	return mountOver(t, dir, "save: {settle: 10ms}\n", "CKPTFS_TEST_ALLOW_OTHER=1")
}

// A view shows the inodes of the live names as nodes of its own: what is taken
// from their modes is taken there too, although the kernel has cached them.
func TestModesReachTheViews(t *testing.T) {
	m := sharedRun(t, nil)
	for _, c := range []struct {
		name   string
		change func() error
		opens  bool
	}{
		{"as it was", func() error { return nil }, true},
		{"a file is closed", func() error { return os.Chmod(m.path("best_model/config.json"), 0o600) }, false},
		{"and opened", func() error { return os.Chmod(m.path("best_model/config.json"), 0o644) }, true},
		{"it is closed to one user", func() error {
			return unix.Setxattr(m.path("best_model/config.json"), aclAccess, aclBytes(acls["deny"]), 0)
		}, false},
		{"and opened", func() error { return unix.Removexattr(m.path("best_model/config.json"), aclAccess) }, true},
		{"the directory is closed", func() error { return os.Chmod(m.path("best_model"), 0o700) }, false},
		{"and opened", func() error { return os.Chmod(m.path("best_model"), 0o755) }, true},
		{"given to another", func() error {
			return errors.Join(os.Chmod(m.path("best_model"), 0o700), os.Chown(m.path("best_model"), bob, bob))
		}, true},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, p := range []string{"", "config.json"} {
			want := describe(m.path("best_model", p))
			// The kernel is told by another thread. What it has cached is asked for
			// first: an open would have it refreshed.
			eventually(t, fmt.Sprintf("%s: best/%s is %s", c.name, p, want), func() bool {
				return describe(m.path("best", p)) == want
			})
		}
		for _, p := range []string{"best_model", "best"} {
			if err := as(bob, "cat "+m.path(p, "config.json")); (err == nil) != c.opens {
				t.Errorf("%s: %s/config.json: %v, opens should be %v", c.name, p, err, c.opens)
			}
		}
	}
}

// Who may command the daemon: root, and the owner of a directory that root has
// mounted; nobody else, whatever he says.
func TestControlIsNotForOthers(t *testing.T) {
	m := sharedRun(t, func(dir string) {
		if err := os.Chown(dir, alice, alice); err != nil {
			t.Fatal(err)
		}
	})
	control := m.path(".ckptfs/control")
	for _, c := range []struct {
		uid  uint32
		may  bool
		what string
	}{
		{0, true, "root"}, {alice, true, "the owner of the directory"}, {bob, false, "another user"},
	} {
		if err := as(c.uid, "echo settle > "+control); (err == nil) != c.may {
			t.Errorf("%s commands the daemon: %v", c.what, err)
		}
		for _, never := range []string{"cat " + control, "chmod 666 " + control, "rm " + control, "echo x > " + m.path(".ckptfs/status"), "touch " + m.path(".ckptfs/new")} {
			if err := as(c.uid, never); err == nil {
				t.Errorf("%s could: %s", c.what, never)
			}
		}
	}
	write := func(text string) error {
		f, err := os.OpenFile(control, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, err = f.Write([]byte(text))
		return err
	}
	for text, want := range map[string]error{
		"settle\n":                                     nil,
		strings.Repeat("x", 64<<10+1):                  unix.EMSGSIZE,
		strings.Repeat("x", 8<<20):                     unix.EMSGSIZE,
		"format everything":                            unix.EINVAL,
		"\x00\xff\x1b[2J":                              unix.EINVAL,
		"commit ../../etc\n":                           unix.EINVAL,
		"delete last_checkpoint none for the test\n":   unix.EPERM,
		"delete .ckptfs/trash x for the test\n":        unix.EPERM,
		"commit logs\n":                                unix.EPERM,
		"commit last_checkpoint/pytorch_model.bin\n":   unix.EPERM,
		"delete last_checkpoint \"\" for the test\n":   unix.EPERM,
		"commit " + strings.Repeat("a/", 30<<10) + "a": unix.EPERM,
	} {
		if err := write(text); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
	if got := read(t, m.path("last_checkpoint/config.json")); got == "" {
		t.Error("the checkpoint is gone")
	}
}

// The reports name no run that the directory itself would not show to whoever
// reads them.
func TestReportsShowWhatTheDirectoryShows(t *testing.T) {
	m := sharedRun(t, func(dir string) {
		for name, mode := range map[string]os.FileMode{"private": 0o700, "searched": 0o711, "teams": 0o750, "public": 0o755, "private/below": 0o755} {
			p := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(p, 0o755), os.CopyFS(filepath.Join(p, "last_checkpoint"), os.DirFS(run+"/last_checkpoint"))); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chown(p, alice, team), os.Chmod(p, mode)); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Setxattr(filepath.Join(dir, "public"), aclAccess, aclBytes([]acl{
			{aclUserObj, 7, aclNoID}, {aclUser, 0, bob}, {aclGroupObj, 5, aclNoID}, {aclMask, 5, aclNoID}, {aclOther, 5, aclNoID},
		}), 0); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.Chmod(m.path("private/last_checkpoint/config.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(m.path(".ckptfs/control"), []byte("commit private/last_checkpoint"), 0) // refused, which is an event
	for _, c := range []struct {
		uid, gid uint32
		sees     []string
	}{
		{0, 0, []string{"private", "private/below", "searched", "teams", "public"}},
		{alice, alice, []string{"private", "private/below", "searched", "teams", "public"}},
		{bob, bob, nil},
		{bob, team, []string{"teams"}},
	} {
		for _, report := range []string{"ls.json", "status.json", "status", "explain.json", "events", "metrics", "config"} {
			cmd := exec.Command("cat", m.path(".ckptfs", report))
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.gid}}
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("user %d reads %s: %v", c.uid, report, err)
			}
			for _, name := range []string{"private", "searched", "teams", "public"} {
				found := strings.Contains(string(out), name+`"`) || strings.Contains(string(out), "run "+name) || strings.Contains(string(out), name+"/")
				if found && !slices.Contains(c.sees, name) {
					t.Errorf("user %d, group %d learns of %s from %s", c.uid, c.gid, name, report)
				}
				if !found && slices.Contains(c.sees, name) && strings.HasSuffix(report, ".json") {
					t.Errorf("user %d, group %d does not find %s in %s", c.uid, c.gid, name, report)
				}
			}
		}
	}
}

// raceNames changes the mode, the times and the attributes of the caller's file
// and directory, while what belongs to somebody else takes their names: none of
// that may reach the other's. It is done by an actor, for so many rounds.
func raceNames(dir string, rounds int) {
	stop := make(chan bool)
	var threads sync.WaitGroup
	for _, call := range []func(){
		func() { unix.Chmod(dir+"/mine", 0o666) },
		func() { unix.Setxattr(dir+"/mine", "user.mine", []byte("x"), 0) },
		func() { unix.Truncate(dir+"/mine", 1) },
		func() {
			if fd, err := unix.Open(dir+"/mine", unix.O_RDONLY, 0); err == nil {
				b := make([]byte, 64)
				if n, _ := unix.Read(fd, b); strings.HasPrefix(string(b[:max(n, 0)]), "secret") {
					fmt.Println("read the secret")
				}
				unix.Close(fd)
			}
		},
		func() { unix.Chmod(dir+"/my.d", 0o777) },
		func() {
			var st unix.Stat_t
			if unix.Lstat(dir+"/my.d/secret", &st) == nil {
				fmt.Println("found the secret in a directory")
			}
		},
		func() {
			if fd, err := unix.Open(dir+"/my.d/new", unix.O_WRONLY|unix.O_CREAT, 0o666); err == nil {
				unix.Close(fd)
			}
		},
		func() { unix.Unlink(dir + "/my.d/victim") },
	} {
		threads.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					call()
				}
			}
		})
	}
	for range rounds {
		unix.Rename(dir+"/secret", dir+"/mine")
		unix.Rename(dir+"/mine", dir+"/secret")
		if fd, err := unix.Open(dir+"/mine", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600); err == nil {
			unix.Close(fd)
		}
		unix.Unlink(dir + "/my.d/new")
		unix.Rename(dir+"/my.d", dir+"/away.d")
		unix.Rename(dir+"/secret.d", dir+"/my.d")
		unix.Rename(dir+"/my.d", dir+"/secret.d")
		unix.Rename(dir+"/away.d", dir+"/my.d")
	}
	close(stop)
	threads.Wait()
}

// A request names an inode, and is carried out by name: when the name has passed
// to somebody else's file meanwhile, it must not be carried out on that.
func TestNamesThatPassToOthers(t *testing.T) {
	rounds := 300
	for _, place := range []string{"logs", "last_checkpoint/sub"} {
		t.Run(path.Base(place), func(t *testing.T) {
			m := sharedRun(t, func(dir string) {
				p := filepath.Join(dir, place)
				err := errors.Join(os.MkdirAll(filepath.Join(p, "secret.d"), 0o755), os.Mkdir(filepath.Join(p, "my.d"), 0o700),
					os.WriteFile(filepath.Join(p, "secret"), []byte("secret"), 0o600), os.WriteFile(filepath.Join(p, "mine"), nil, 0o600),
					os.WriteFile(filepath.Join(p, "secret.d/secret"), []byte("secret"), 0o644), os.WriteFile(filepath.Join(p, "secret.d/victim"), []byte("secret"), 0o644),
					os.Chmod(filepath.Join(p, "secret.d"), 0o700), os.Chmod(p, 0o777), os.Chown(filepath.Join(p, "mine"), bob, bob), os.Chown(filepath.Join(p, "my.d"), bob, bob))
				if err != nil {
					t.Fatal(err)
				}
			})
			cmd := exec.Command(runnable(t), m.path(place), strconv.Itoa(rounds))
			cmd.Dir, cmd.Env = "/", append(os.Environ(), "CKPTFS_TEST_ROLE=racer")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: bob, Gid: bob}}
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%v: %.2000s", err, out)
			}
			for name, want := range map[string]string{"secret": "100600 0:0", "secret.d": "40700 0:0", "secret.d/secret": "100644 0:0", "secret.d/victim": "100644 0:0"} {
				if got := describe(m.path(place, name)); got != want {
					t.Errorf("%s is %s, and was %s", name, got, want)
				}
			}
			if got := read(t, m.path(place, "secret")); got != "secret" {
				t.Errorf("secret holds %q", got)
			}
			if n, err := unix.Getxattr(m.path(place, "secret"), "user.mine", make([]byte, 8)); err == nil {
				t.Errorf("secret has an attribute of %d bytes", n)
			}
			if list, _ := os.ReadDir(m.path(place, "secret.d")); len(list) != 2 {
				t.Errorf("secret.d holds %v", list)
			}
		})
	}
}
