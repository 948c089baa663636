package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// unreadable is a disk with a bad sector: one of the reads of what lies in the
// private directory, or of where it is to go, fails.
type unreadable struct {
	disk.Disk

	mu   sync.Mutex
	left int // reads until the one that fails; negative when that was
	what string
}

func (d *unreadable) read(doing, p string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left != -1 {
		return nil
	}
	d.what = doing + " " + p
	return fmt.Errorf("%s: %w", d.what, unix.EIO)
}

func (d *unreadable) Stat(p string) (disk.Stat, error) {
	if err := d.read("stat", p); err != nil {
		return disk.Stat{}, err
	}
	return d.Disk.Stat(p)
}

func (d *unreadable) ReadDir(p string) ([]disk.Entry, error) {
	if err := d.read("list", p); err != nil {
		return nil, err
	}
	return d.Disk.ReadDir(p)
}

func (d *unreadable) Describe(p string) ([]disk.Described, error) { return disk.DescribeBy(d, p) }

func (d *unreadable) Open(op disk.Op, p string, flags int, mode uint32) (*os.File, error) {
	if flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_PATH) == unix.O_RDONLY {
		if err := d.read("open", p); err != nil {
			return nil, err
		}
	}
	return d.Disk.Open(op, p, flags, mode)
}

// holdings is all that there is of the root run, shown and hidden, by name.
func (b *bench) holdings() map[string]string {
	b.t.Helper()
	out := b.tokens()
	whole := func(dir string) string {
		token, err := loadWhole(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(b.dir, dir, name)) })
		if err != nil {
			return err.Error()
		}
		return token
	}
	for _, rec := range b.recordsOf(b.runAt("")) {
		for i, v := range rec.history {
			out[fmt.Sprintf("history %d of %s", i, rec.name)] = whole(v.where())
		}
		for i, sv := range rec.saves {
			var files []string
			b.must(filepath.WalkDir(filepath.Join(b.dir, sv.tree()), func(p string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					files = append(files, e.Name())
				}
				return err
			}))
			out[fmt.Sprintf("save %d of %s", i, rec.name)] = strings.Join(files, " ")
		}
	}
	for _, t := range b.trash {
		out["trash "+path.Join(t.Run, t.Name)] = fmt.Sprintf("%s, valid: %v", whole(t.path()), t.Valid)
	}
	return out
}

// Each read of a recovery fails once, in turn, with EIO. Then the mount is refused,
// with the remedy, or nothing depended on it: once the disk can be read again all is
// there that would have been (P2, P7).
func TestUnreadableAtRecovery(t *testing.T) {
	for _, step := range []disk.Op{"commit:swap", "commit:keep", "commit:done", "rename:record", "rename:manifest"} {
		t.Run("crashed before "+string(step), func(t *testing.T) {
			t.Parallel()
			var want map[string]string
			for n := -1; !t.Failed(); n++ { // at -1 none fails
				through := false
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, t.TempDir())
					b.start()
					defer b.stop()
					b.leaveMuch(step)
					bad := &unreadable{left: n}
					b.over = func(d disk.Disk) disk.Disk { bad.Disk = d; return bad }
					err := b.tryStart()
					b.over = nil
					through = n >= 0 && bad.what == ""
					if err == nil {
						b.crash()
					} else if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "mount again") {
						t.Errorf("%s failed: the mount says %v", bad.what, err)
					}
					b.start()
					b.settle()
					if n < 0 {
						want = b.holdings()
					} else if diff := cmp.Diff(want, b.holdings()); diff != "" {
						t.Errorf("%s failed (-want +got):\n%s", bad.what, diff)
					}
				})
				if through {
					break
				}
			}
		})
	}
}

// leaveMuch crashes before a step of a commit, or of a rename, and leaves some of
// everything that is kept.
func (b *bench) leaveMuch(step disk.Op) {
	b.t.Helper()
	b.seed(map[string]content{last: {"one", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}, "best_model": {"best", 7, 0}})
	b.seed(map[string]content{last: {"two", 2, 0}})
	p := b.process()
	b.must(p.removeAll("recovery_checkpoint"))
	b.must(p.mkdir("checkpoint_epoch2_step5"))
	b.must(p.write("checkpoint_epoch2_step5/config.json", []byte("{}")))
	b.pass(time.Second)
	stopped := b.disk.stopBefore(step)
	if strings.HasPrefix(string(step), "rename:") {
		_ = p.rename("best_model", "swa_model") // it crashes
	} else if err := p.save(last, content{"three", 3, 0}); err != nil {
		b.t.Fatal(err)
	}
	b.settle()
	if !stopped() {
		b.t.Fatalf("there is no %s", step)
	}
	b.crash()
}
