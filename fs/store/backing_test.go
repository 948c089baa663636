package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

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

// Runs and checkpoints on other file systems and in subvolumes below the mounted
// directory: they are saved to, renamed and deleted like any other, and what is
// mounted under a checkpoint's own name is none of ours.
func TestBelowOtherFileSystems(t *testing.T) {
	asRoot(t)
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) // the directory, with a place for a run at sub
	}{
		{"another file system", func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
			mounted(t, "tmpfs", "tmpfs", filepath.Join(dir, "sub"), "size=64m")
		}},
		{"a subvolume of btrfs", func(t *testing.T, dir string) {
			btrfs(t, dir)
			command(t, "btrfs", "subvolume", "create", filepath.Join(dir, "sub"))
		}},
		{"a bind mount", func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, "elsewhere"), 0o755))
			must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
			must(t, unix.Mount(plainDir(t), filepath.Join(dir, "sub"), "", unix.MS_BIND, ""))
			t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(dir, "sub"), 0)) })
		}},
	} {
		for _, pattern := range patterns {
			t.Run(c.name+", "+pattern.name, func(t *testing.T) {
				dir := plainDir(t)
				c.make(t, dir)
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, dir)
					b.start()
					defer b.stop()
					b.seed(map[string]content{last: {"other", 1, 0}}) // the inode numbers of the two runs are the same
					p := b.process()
					p.dir = "sub"
					b.must(p.save(last, content{"old", 1, 0}))
					b.settle()
					b.shows("saved", map[string]string{"sub/latest": "old", "latest": "other"})
					for i, token := range []string{"one", "two"} {
						b.must(pattern.save(p, content{token, byte(2 + i), 3}))
						b.must(b.checkViews()) // beneath, the name is being filled
						b.settle()
						b.shows("settled", map[string]string{"sub/latest": token, "latest": "other"})
						b.check("settled")
					}
					b.restart()
					b.shows("mounted again", map[string]string{"sub/latest": "two", "latest": "other"})
					p = b.process()
					p.dir = "sub"
					b.must(p.removeAll(last))
					b.restart()
					b.check("deleted")
					if b.process().exists("sub/" + last) {
						t.Error("the deleted one is still there")
					}
					for _, dir := range []string{stagingDir, journalDir} {
						if left := b.left(dir); len(left) > 0 {
							t.Errorf("%s holds %v", dir, left)
						}
					}
				})
			})
		}
	}
}

// A checkpoint that is a subvolume is one; a mountpoint of a checkpoint's name is
// not, and is never touched.
func TestCheckpointIsASubvolume(t *testing.T) {
	asRoot(t)
	dir := plainDir(t)
	btrfs(t, dir)
	files := content{"old", 1, 0}.files()
	fill := func(at string) {
		for name, data := range files {
			must(t, os.WriteFile(filepath.Join(at, name), data, 0o644))
		}
	}
	command(t, "btrfs", "subvolume", "create", filepath.Join(dir, last))
	fill(filepath.Join(dir, last))
	foreign := filepath.Join(dir, "best_model")
	must(t, os.Mkdir(foreign, 0o755))
	mounted(t, "tmpfs", "tmpfs", foreign, "size=8m")
	fill(foreign)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, dir)
		b.start()
		defer b.stop()
		b.shows("mounted", map[string]string{"resume": "old", "best": ""})
		b.seed(map[string]content{last: {"new", 2, 0}})
		b.shows("saved", map[string]string{"resume": "new", "by-epoch/1": "old"})
		b.check("saved")
		b.must(b.process().removeAll(last))
		b.pass(time.Hour)
		b.restart()
		b.check("deleted")
	})
	if left, err := os.ReadDir(foreign); err != nil || len(left) != len(files) {
		t.Errorf("what was mounted holds %v, %v", left, err)
	}
}

// btrfs mounts a new btrfs at a directory.
func btrfs(t *testing.T, at string) {
	t.Helper()
	image := filepath.Join(plainDir(t), "btrfs")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 256<<20))
	command(t, "mkfs.btrfs", "-q", image)
	command(t, "mount", "-o", "loop", image, at)
	t.Cleanup(func() { command(t, "umount", at) })
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
