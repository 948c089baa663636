package fs_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ckptfs "ckptfs/fs"
	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// The mounted tests run the daemon in a process of its own, this test binary
// again: a file system and its user in one process can deadlock.
func TestMain(m *testing.M) {
	switch os.Getenv("CKPTFS_TEST_ROLE") {
	case "daemon":
		os.Exit(daemon())
	case "actor":
		os.Exit(actor(os.Args[1]))
	case "racer":
		rounds, _ := strconv.Atoi(os.Args[2])
		raceNames(os.Args[1], rounds)
		os.Exit(0)
	case "writer":
		os.Exit(writer(os.Args[1:]))
	case "model":
		os.Exit(modelWorker())
	case "trace":
		os.Exit(traceWorker(os.Args[1]))
	}
	flag.Parse()
	flag.Set("test.parallel", "16") // they wait more than they work; it fails only for a flag that there is not
	os.Exit(m.Run())
}

func daemon() int {
	fail := func(err error) int {
		fmt.Println("failed:", err)
		return 1
	}
	dir, mountpoint, logFile := os.Args[1], os.Args[2], os.Args[3]
	config, err := policy.Parse("test", []byte(os.Getenv("CKPTFS_TEST_CONFIG")))
	if err != nil {
		return fail(err)
	}
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	root, err := disk.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	level := slog.LevelInfo
	if os.Getenv("CKPTFS_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	server, err := ckptfs.Mount(root, ckptfs.MountOptions{
		Dir: dir, Mountpoint: mountpoint, Config: config, Debug: level == slog.LevelDebug,
		AllowOther:    os.Getenv("CKPTFS_TEST_ALLOW_OTHER") != "",
		NoPassthrough: os.Getenv("CKPTFS_TEST_NO_PASSTHROUGH") != "",
		Log:           slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return fail(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		for range stop {
			server.Settle(context.Background(), nil)
			server.Unmount()
		}
	}()
	fmt.Printf("ready passthrough=%v\n", server.Passthrough())
	server.Wait()
	if err := server.Close(); err != nil {
		return fail(err)
	}
	return 0
}

// mounted is a mount of a test and the process that serves it.
type mounted struct {
	t           *testing.T
	back, mnt   string
	log         string
	config      string
	env         []string
	cmd         *exec.Cmd
	passthrough bool
}

// mountOver mounts over dir itself; the test's end takes it down.
func mountOver(t *testing.T, dir, config string, env ...string) *mounted {
	t.Helper()
	return mountAt(t, dir, dir, config, env...)
}

func needFuse(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse on this machine: install fuse3")
	}
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("fusermount3"); err != nil {
			t.Skip("an ordinary user needs fusermount3: install fuse3")
		}
		if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
			t.Skipf("an ordinary user needs /dev/fuse: %v", err)
		} else {
			f.Close()
		}
	}
}

// mountAt shows dir at mnt.
func mountAt(t *testing.T, dir, mnt, config string, env ...string) *mounted {
	t.Helper()
	needFuse(t)
	m := &mounted{t: t, back: dir, mnt: mnt, log: filepath.Join(t.TempDir(), "log"), config: config, env: env}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *mounted) start() {
	m.t.Helper()
	m.await(m.spawn())
}

// await returns when the mount can be used.
func (m *mounted) await(out io.Reader) {
	m.t.Helper()
	line, _ := bufio.NewReader(out).ReadString('\n')
	if !strings.HasPrefix(line, "ready ") {
		m.cmd.Wait()
		m.t.Fatalf("mount: %s\n%s", line, m.tail())
	}
	m.passthrough = strings.Contains(line, "=true")
	go io.Copy(io.Discard, out)
}

// spawn starts the daemon, and returns what it says.
func (m *mounted) spawn() io.Reader {
	m.t.Helper()
	m.cmd = exec.Command(os.Args[0], m.back, m.mnt, m.log)
	m.cmd.Env = append(os.Environ(), append(m.env, "CKPTFS_TEST_ROLE=daemon", "CKPTFS_TEST_CONFIG="+m.config)...)
	m.cmd.Stderr = os.Stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return out
}

// stop unmounts in the orderly way, and lazily where that fails.
func (m *mounted) stop() {
	m.t.Helper()
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- m.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			m.t.Errorf("the daemon ended with %v\n%s", err, m.tail())
			detach(m.mnt)
		}
	case <-time.After(20 * time.Second):
		m.t.Errorf("the mount did not come down\n%s", m.tail())
		m.cmd.Process.Signal(syscall.SIGQUIT) // its stacks say why
		detach(m.mnt)
		<-done
	}
	m.cmd = nil
	if m.t.Failed() {
		m.t.Logf("log of the daemon:\n%s", m.tail())
	}
}

// kill ends the daemon as a crash would. The dead mount stays, so that a writer
// does not fill the directory below, until it is taken away.
func (m *mounted) kill() (takeAway func()) {
	m.t.Helper()
	m.cmd.Process.Kill()
	m.cmd.Wait()
	m.cmd = nil
	return func() { detach(m.mnt) }
}

func detach(mnt string) {
	if os.Geteuid() == 0 {
		syscall.Unmount(mnt, syscall.MNT_DETACH)
	} else {
		exec.Command("fusermount3", "-uz", mnt).Run()
	}
}

func (m *mounted) tail() string {
	b, _ := os.ReadFile(m.log)
	if len(b) > 8000 {
		b = b[len(b)-8000:]
	}
	return string(b)
}

func (m *mounted) path(parts ...string) string {
	return filepath.Join(append([]string{m.mnt}, parts...)...)
}

// eventually waits for a condition; the bound only ends a test that has failed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(ok) {
		t.Fatalf("it never came to pass that %s", what)
	}
}

func within(ok func() bool) bool {
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(5 * time.Millisecond) // the pace of asking, not a wait for something to happen
	}
	return true
}

// copyRun copies the real run that a trainer left in the middle of epoch 3.
func copyRun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/runs/enstack")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
