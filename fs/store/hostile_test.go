package store

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
	"ckptfs/testdata/outside"
)

// Who may write in the directory puts links to files of others wherever the
// daemon, which may be root, is going to look: none of these is read or changed
// (P4).

// What stands in the private directory before the mount. Where it is in the way,
// the mount is refused; nothing is done to what it leads to.
func TestPlantedInThePrivateDirectory(t *testing.T) {
	link := func(name, to string) func(dir string, out *outside.Dir) error {
		return func(dir string, out *outside.Dir) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, name)), os.Symlink(out.In(to), filepath.Join(dir, name)))
		}
	}
	hard := func(name, to string) func(dir string, out *outside.Dir) error {
		return func(dir string, out *outside.Dir) error {
			err := errors.Join(os.Remove(filepath.Join(dir, name)), os.Link(out.In(to), filepath.Join(dir, name)))
			out.Now()
			return err
		}
	}
	for _, c := range []struct {
		name  string
		plant func(dir string, out *outside.Dir) error
		why   string // of the refusal; "" when it mounts
	}{
		{"a link as the lock", link(lockFile, "secret"), "too many levels of symbolic links"},
		{"a dangling link as the lock", link(lockFile, "new"), "too many levels of symbolic links"},
		{"a file of others as the lock", hard(lockFile, "other"), "has another name somewhere"},
		{"a pipe as the lock", func(dir string, _ *outside.Dir) error {
			return errors.Join(os.Remove(filepath.Join(dir, lockFile)), unix.Mkfifo(filepath.Join(dir, lockFile), 0o600))
		}, "no such device or address"},
		{"a link as a record of the journal", link(journalDir+"/x.json", "other"), ""},
		{"a link as a save", link(stagingDir+"/x", "deep"), ""},
		{"a link as the tree of a save", func(dir string, out *outside.Dir) error {
			note := `{"format":1,"id":"x","name":"` + last + `"}`
			err := os.Mkdir(filepath.Join(dir, stagingDir, "x"), 0o700)
			return errors.Join(err, os.WriteFile(filepath.Join(dir, stagingDir, "x/save.json"), []byte(note), 0o600),
				os.Symlink(out.Path, filepath.Join(dir, stagingDir, "x/tree")))
		}, ""},
		{"links in the tree and the drafts of a save", func(dir string, out *outside.Dir) error {
			note := `{"format":1,"id":"x","name":"` + last + `"}`
			save := filepath.Join(dir, stagingDir, "x")
			return errors.Join(os.MkdirAll(save+"/tree/sub", 0o700), os.Mkdir(save+"/open", 0o700), os.WriteFile(save+"/save.json", []byte(note), 0o600),
				os.Symlink(out.Path, save+"/tree/sub/dir"), os.Symlink(out.In("secret"), save+"/tree/config.json"),
				os.Symlink(out.In("secret"), save+"/open/1"), os.Symlink(out.Path, save+"/open/2"), os.Symlink(out.Path, save+"/open/3"+keptSuffix))
		}, ""},
		{"a link as a manifest", link(manifestDir+"/x.json", "secret"), ""},
		{"a link as a deleted version", link(trashDir+"/x", "deep"), ""},
		{"a link as its note", link(trashDir+"/x.json", "secret"), ""},
		{"a link as a held-back file", link(quarantineDir+"/x", "secret"), ""},
		{"a link as its note", link(quarantineDir+"/x.json", "secret"), ""},
		{"a link as an earlier version", link(historyDir+"/x", "deep"), ""},
		{"links in a deleted version", func(dir string, out *outside.Dir) error {
			x := filepath.Join(dir, trashDir, "x/sub")
			return errors.Join(os.MkdirAll(x, 0o700), os.Symlink(out.Path, x+"/dir"), os.Symlink(out.In("secret"), x+"/file"))
		}, ""},
		{"a link as the directory that is probed", link(Private+"/probe-a", "empty"), ""},
		{"a link as the staging directory", link(stagingDir, "empty"), "is no directory"},
		{"a link as the history", link(historyDir, "empty"), "is no directory"},
		{"a link as the private directory", link(Private, "empty"), "is no directory"},
		{"a file as the private directory", func(dir string, _ *outside.Dir) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, Private)), os.WriteFile(filepath.Join(dir, Private), nil, 0o644))
		}, "is no directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				out := outside.New(t)
				b.configure(func(c *policy.Config) { c.Retention.ProtectLast = false })
				b.stop()
				b.must(c.plant(b.dir, out))
				err := b.tryStart()
				out.Check(t)
				if c.why != "" {
					if err == nil || !strings.Contains(err.Error(), c.why) {
						t.Errorf("the mount: %v, want %q", err, c.why)
					}
					b.Store = nil
					return
				}
				b.must(err)
				p := b.process()
				if p.exists(last) {
					b.must(p.removeAll(last))
				}
				b.must(p.save(last, content{"one", 1, 0}))
				b.settle()
				b.shows("saved", map[string]string{"resume": "one"})
				b.must(p.removeAll(last))
				b.pass(30 * time.Hour) // everything that expires has
				out.Check(t)
			})
		})
	}
}

// A private file is never written through a name that was there before: it may
// be a second name of anybody's file.
func TestPrivateFilesAreMadeAnew(t *testing.T) {
	inBubble(t, func(b *bench) {
		out := outside.New(t)
		for name, plant := range map[string]func(p string) error{
			"hard":     func(p string) error { return os.Link(out.In("other"), p) },
			"symbolic": func(p string) error { return os.Symlink(out.In("secret"), p) },
			"dangling": func(p string) error { return os.Symlink(out.In("new"), p) },
			"pipe":     func(p string) error { return unix.Mkfifo(p, 0o600) },
		} {
			file := path.Join(manifestDir, name)
			b.must(plant(filepath.Join(b.dir, file+".new")))
			b.must(b.writeFile("test", file, []byte("new"), true))
			if got, err := os.ReadFile(filepath.Join(b.dir, file)); string(got) != "new" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if got, _ := os.ReadFile(out.In("other")); string(got) != "content of other" {
			t.Errorf("a file of others holds %q", got)
		}
	})
}

// The private directory is nobody's but the daemon's and the owner's.
func TestPrivateDirectoryIsPrivate(t *testing.T) {
	inBubble(t, func(b *bench) {
		private := filepath.Join(b.dir, Private)
		b.stop()
		b.must(os.Chmod(private, 0o777)) // as a copy of the directory may have it
		b.start()
		if st, err := os.Stat(private); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("the private directory has mode %v, %v", st.Mode(), err)
		}
		if os.Geteuid() != 0 {
			return // only root can give it away
		}
		b.stop()
		b.must(os.Chown(private, 1000, 1000))
		if err := b.tryStart(); err == nil || !strings.Contains(err.Error(), "belongs to user 1000") {
			t.Errorf("a private directory of another user: %v", err)
		}
		b.must(os.Chown(b.dir, 1000, 1000)) // who may rename everything in it anyway
		b.start()
	})
}

// Links in a checkpoint are kept as links through all of its life, and never
// followed: by adoption, a save, hashing, commit, history, trash.
func TestLinksInACheckpoint(t *testing.T) {
	for _, exchange := range []bool{true, false} {
		inBubble(t, func(b *bench) {
			b.exchange = exchange
			out := outside.New(t)
			b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
			b.stop()
			b.must(os.RemoveAll(filepath.Join(b.dir, manifestDir))) // adopted, as if found
			dir := filepath.Join(b.dir, last)
			links := map[string]string{"file": out.In("secret"), "dir": out.Path, "up": "../..", "gone": out.In("new"), "loop": "loop"}
			for name, target := range links {
				b.must(os.Symlink(target, filepath.Join(dir, name)))
			}
			b.must(os.Remove(filepath.Join(b.dir, "recovery_checkpoint/config.json")))
			b.must(os.Symlink(out.In("other"), filepath.Join(b.dir, "recovery_checkpoint/config.json")))
			b.must(os.Symlink(out.Path, filepath.Join(b.dir, "best_model")))                  // a name of a checkpoint
			b.must(os.Symlink(out.Path, filepath.Join(b.dir, "checkpoint_epoch9_step9")))     // and of a newer one
			b.must(os.Symlink(out.Path, filepath.Join(b.dir, "checkpoints")))                 // what might be a run
			b.must(os.Symlink(filepath.Join(b.dir, last), filepath.Join(b.dir, "swa_model"))) // an alias
			b.start()
			b.shows("adopted", map[string]string{"resume": "old", "latest": "old", "best": ""})
			if got := strings.Join(b.happened("invalid"), "; "); !strings.Contains(got, "a symbolic link") {
				t.Errorf("a link as a file that is required: %q", got)
			}
			p := b.process()
			b.must(p.save(last, content{"new", 2, 0}))
			b.settle()
			b.shows("saved", map[string]string{"resume": "new", "by-epoch/1": "old"})
			for name, target := range links {
				if got, err := os.Readlink(filepath.Join(dir, name)); got != target {
					t.Errorf("the link %s leads to %q, %v; it was %q", name, got, err, target)
				}
				for _, inside := range []string{"/secret", "/deep/file"} {
					if p.exists(path.Join(last, name) + inside) {
						t.Errorf("%s%s is found through a link", name, inside)
					}
				}
			}
			b.must(p.write("plain", []byte("x")))
			b.must(p.rename("plain", last+"/file")) // over the link, not through it
			b.settle()
			out.Check(t)
			b.must(p.removeAll(last))
			b.pass(48 * time.Hour)
			if left := b.left(historyDir); len(left) > 0 {
				t.Errorf("left in the history: %v", left)
			}
			out.Check(t)
		})
	}
}

// Pipes, sockets and devices in a checkpoint are neither opened nor waited for.
func TestSpecialFilesInACheckpoint(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		b.stop()
		b.must(os.RemoveAll(filepath.Join(b.dir, manifestDir)))
		b.must(unix.Mkfifo(filepath.Join(b.dir, last, "pipe"), 0o666))
		b.must(unix.Mknod(filepath.Join(b.dir, last, "socket"), unix.S_IFSOCK|0o666, 0))
		b.must(os.Remove(filepath.Join(b.dir, "recovery_checkpoint/config.json")))
		b.must(unix.Mkfifo(filepath.Join(b.dir, "recovery_checkpoint/config.json"), 0o666))
		if os.Geteuid() == 0 {
			b.must(unix.Mknod(filepath.Join(b.dir, last, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		}
		b.start()
		b.shows("adopted", map[string]string{"resume": "old"})
		p := b.process()
		_, err := b.Mknod(last+"/another", unix.S_IFIFO|0o644, 0, p.caller())
		b.must(err)
		b.must(p.save(last, content{"new", 2, 0}))
		b.settle()
		b.shows("saved", map[string]string{"resume": "new"})
		for _, name := range []string{"pipe", "socket", "another"} {
			if st, err := os.Lstat(filepath.Join(b.dir, last, name)); err != nil || st.Mode().IsRegular() {
				t.Errorf("%s is %v, %v", name, st.Mode(), err)
			}
		}
		b.must(p.removeAll(last))
		b.pass(48 * time.Hour)
	})
}

// What is mounted in a checkpoint is not of it: it is not looked into, and not
// emptied with the trash.
func TestMountpointInACheckpoint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	inBubble(t, func(b *bench) {
		out := outside.New(t)
		b.configure(func(c *policy.Config) { c.Retention.ProtectLast = false })
		const name = "checkpoint_epoch1_step1"
		b.seed(map[string]content{name: {"old", 1, 1}, last: {"spare", 2, 0}})
		b.stop()
		at := filepath.Join(b.dir, name, "scratch")
		run := filepath.Join(b.dir, "checkpoints")
		b.must(errors.Join(os.Mkdir(at, 0o755), os.Mkdir(run, 0o755)))
		for _, p := range []string{at, run} {
			if err := unix.Mount(out.Path, p, "", unix.MS_BIND, ""); err != nil {
				t.Skipf("nothing can be mounted here: %v", err)
			}
		}
		defer func() {
			for _, p := range append(globbed(b.dir, Private+"/*/*/scratch"), at, run) {
				unix.Unmount(p, unix.MNT_DETACH)
			}
		}()
		b.start()
		b.shows("adopted", map[string]string{"by-epoch/1": "old"})
		if v := b.version("by-epoch/1"); len(v.Files) != len(checkpointFiles) {
			t.Errorf("the version has %d files", len(v.Files))
		}
		if err := b.process().save(name, content{"new", 1, 1}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("a save of what something is mounted in: %v, want EBUSY", err)
		}
		v := b.version("by-epoch/1")
		b.must(b.Delete(name, v.ID, "for the test"))
		b.pass(48 * time.Hour)
		if len(globbed(b.dir, trashDir+"/*/scratch")) != 1 {
			t.Errorf("the trash holds %v", b.left(trashDir))
		}
		out.Check(t)
	})
}

func globbed(dir, pattern string) []string {
	list, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is a good one
	return list
}

// While a tree is removed, somebody puts a link in the place of a directory that
// was just looked at.
func TestLinksSwappedInWhileRemoving(t *testing.T) {
	out := outside.New(t)
	dir := t.TempDir()
	root, err := disk.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := newStore(root, Options{})
	tree, other := filepath.Join(dir, "tree/sub"), filepath.Join(dir, "other")
	if err := os.Symlink(out.Path, other); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, tree, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
			}
		}
	}()
	mine, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	for i := range 300 {
		// Names as outside, so that a walk that began here could go on there. This
		// fails now and then, and so may what follows: what was there is gone.
		mine.MkdirAll("tree/sub/deep", 0o755)
		for _, name := range []string{"secret", "other", "deep/file"} {
			mine.WriteFile("tree/sub/"+name, []byte("mine"), 0o644)
		}
		_ = s.removeAll("test", "tree")
		_, _ = s.walk("tree")
		_, _ = s.hash("tree/sub/secret")
		_ = s.clone("test", "tree", fmt.Sprintf("clone%d", i))
	}
	close(stop)
	<-stopped
	for i := range 300 {
		if b, _ := mine.ReadFile(fmt.Sprintf("clone%d/sub/secret", i)); strings.HasPrefix(string(b), "content") {
			t.Errorf("clone %d holds a file of others", i)
		}
	}
	out.Check(t)
}

// Directories that are nested without end are refused, and can be removed.
func TestDeepDirectories(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.stop()
		deep := filepath.Join(b.dir, last, strings.Repeat("d/", disk.Deepest+10))
		b.must(os.MkdirAll(deep, 0o755))
		b.start()
		b.pass(0) // until it was looked into
		if got := strings.Join(b.happened("invalid"), "; "); !strings.Contains(got, "nested deeper than") && !strings.Contains(got, "file name too long") {
			t.Errorf("invalid are %q", got)
		}
		if err := b.process().save(last, content{"new", 2, 0}); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("a save: %v, want ENAMETOOLONG", err)
		}
		b.must(b.removeAll("test", last))
	})
}
