package fs_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// notPosix are the cases of go-fuse's suite that are left out, and why.
var notPosix = map[string]string{
	"FcntlFlockLocksFile": "wants two descriptors of one process to conflict; POSIX and ext4 let them agree. " +
		"Locks stay with the kernel here, where they behave as on ext4",
	"OpenSymlinkRace": "knows no ESTALE, which an open gets that finds its file replaced twice; go-fuse leaves it out too. " +
		"TestOpenWhileALinkIsSwappedIn looks for the same",
}

// Two more leave themselves out: Tmpfile, because O_TMPFILE is refused (a file
// without a name cannot be told to belong to a checkpoint), and XAttrLarge where
// the backing file system, such as ext4, has no attributes of 8 KiB.

// P5: the trainer sees POSIX, outside checkpoints and inside one.
func TestPosix(t *testing.T) {
	for _, where := range []string{"logs", "checkpoint_epoch1_step4", "checkpoint_epoch1_step4/sub"} {
		t.Run(filepath.Base(where), func(t *testing.T) {
			m := mountOver(t, t.TempDir(), "")
			for name, test := range posixtest.All {
				t.Run(name, func(t *testing.T) {
					if why := notPosix[name]; why != "" {
						t.Skip(why)
					}
					dir := m.path(where)
					if err := os.MkdirAll(dir, 0o755); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						if err := os.RemoveAll(m.path(where)); err != nil {
							t.Errorf("clean up: %v", err)
						}
					})
					test(t, dir)
				})
			}
		})
	}
}

// A name that is a file and a symbolic link by turns is opened as the one or as the
// other: the kernel follows the link, and never ckptfs.
func TestOpenWhileALinkIsSwappedIn(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"logs", "checkpoint_epoch1_step4"} {
		m := mountOver(t, t.TempDir(), "")
		if err := os.MkdirAll(m.path(where), 0o755); err != nil {
			t.Fatal(err)
		}
		var mounted syscall.Stat_t
		if err := syscall.Stat(m.path(where), &mounted); err != nil {
			t.Fatal(err)
		}
		name, tmp := m.path(where, "name"), m.path(where, "tmp")
		ended := make(chan error, 1)
		go func() {
			var err error
			for range 1000 {
				err = errors.Join(os.WriteFile(tmp, nil, 0o600), os.Rename(tmp, name), os.Symlink(secret, tmp), os.Rename(tmp, name))
				if err != nil {
					break
				}
			}
			ended <- err
		}()
		files, links := 0, 0
		for swapping := true; swapping; {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("%s: swap: %v", where, err)
				}
				swapping = false
			default:
			}
			f, err := os.Open(name)
			if err != nil {
				if !slices.ContainsFunc([]error{syscall.ENOENT, syscall.ESTALE, syscall.EINVAL, syscall.ELOOP}, func(e error) bool { return errors.Is(err, e) }) {
					t.Errorf("%s: %v", where, err)
				}
				continue
			}
			st, statErr := f.Stat()
			data, err := io.ReadAll(f)
			f.Close()
			switch {
			case errors.Join(err, statErr) != nil:
				t.Errorf("%s: %v", where, errors.Join(err, statErr))
			case st.Sys().(*syscall.Stat_t).Dev != mounted.Dev:
				links++
			case len(data) > 0:
				t.Errorf("%s: a file of the mount has %q", where, data)
			default:
				files++
			}
		}
		if files == 0 || links == 0 {
			t.Errorf("%s: opened as a file %d times, as a link %d times", where, files, links)
		}
	}
}
