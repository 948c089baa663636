package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// The same on real file systems that do not rename every directory.

// An overlay, as a container has it: the run is in a lower layer, whose
// directories the kernel does not rename (EXDEV), and the upper one is empty.
func TestOverlay(t *testing.T) {
	asRoot(t)
	for _, options := range []string{"redirect_dir=off", "redirect_dir=on"} {
		for _, pattern := range patterns {
			t.Run(options+", "+pattern.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir := plainDir(t)
					at := func(name string) string { return filepath.Join(dir, name) }
					for _, name := range []string{"lower", "upper", "work", "merged"} {
						if err := os.Mkdir(at(name), 0o755); err != nil {
							t.Fatal(err)
						}
					}
					b := newBench(t, at("lower"))
					b.start()
					b.seed(map[string]content{last: {"old", 1, 0}, "best_model": {"best", 1, 0}})
					b.stop()
					for _, plain := range []bool{false, true} {
						if plain { // a run that no ckptfs has seen
							must(t, unix.Unmount(at("merged"), 0))
							must(t, errors.Join(os.RemoveAll(at("upper")), os.RemoveAll(at("work")), os.RemoveAll(filepath.Join(at("lower"), Private))))
							must(t, errors.Join(os.Mkdir(at("upper"), 0o755), os.Mkdir(at("work"), 0o755)))
						}
						mounted(t, "overlay", "overlay", at("merged"), fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,%s", at("lower"), at("upper"), at("work"), options))
						b.dir = at("merged")
						b.start()
						b.shows("mounted", map[string]string{"resume": "old", "best": "best"})
						b.twoSaves(pattern)
						b.must(b.process().removeAll("best_model"))
						b.shows("deleted", map[string]string{"best": ""})
						b.restart()
						b.check("mounted again")
						b.shows("mounted again", map[string]string{"best": ""})
						b.stop()
					}
				})
			})
		}
	}
}

// asRoot skips a test that has to mount something.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
}

// mounted mounts a file system until the end of the test.
func mounted(t *testing.T, source, fsType, at, options string) {
	t.Helper()
	err := unix.Mount(source, at, fsType, 0, options)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) {
		t.Skipf("this kernel or container does not mount a %s: %v", fsType, err)
	}
	if err != nil {
		t.Fatalf("mount a %s at %s (%s): %v", fsType, at, options, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Errorf("unmount %s: %v", at, err)
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	})
}

// plainDir is a temporary directory whose name has no commas, which part the
// options of a mount.
func plainDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ckptfs-backing-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// command runs a tool of the file system; the test is skipped where it is not
// installed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
