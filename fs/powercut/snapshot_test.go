package powercut

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/figures"
)

// The power goes at random instants, and the disk has all that it had accepted.
// P1, P2 and P4 hold on ext4, XFS and btrfs.
func TestSnapshots(t *testing.T) {
	want := cuts(t)
	for _, fs := range []filesystem{ext4, ext4.with("data=writeback,noauto_da_alloc"), xfs, btrfs} {
		t.Run(fs.name, func(t *testing.T) {
			m := newMachine(t, fs)
			image := filepath.Join(hostDir(t), "disk.img")
			m.format(image)
			var tally tally
			for i, n := range goes(want, 25) {
				m.durability = durabilities[i%2]
				m.insert(image, true)
				m.start()
				taken := m.takeSnapshots(image, n)
				m.halt()
				m.eject()
				for _, s := range taken {
					m.afterCut(s.image, s.promised, &tally)
				}
			}
			tally.commits, tally.pruned = m.commits, m.pruned
			tally.report(t, "power cuts on "+fs.name)
		})
	}
}

// A snapshot is the disk as a power cut would leave it, and what had been
// promised before.
type snapshot struct {
	image    string
	promised map[string]int
}

func (m *machine) takeSnapshots(image string, n int) (taken []snapshot) {
	for i := range n {
		time.Sleep(20*time.Millisecond + rand.N(180*time.Millisecond)) // the random instant
		s := snapshot{fmt.Sprintf("%s.%d", image, i), m.ledger.made(math.MaxInt64)}
		m.must(reflink(image, s.image))
		taken = append(taken, s)
	}
	return taken
}

// reflink copies a file in one step: no write falls in between.
func reflink(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
		return fmt.Errorf("reflink %s: %w", from, err)
	}
	return nil
}

// goes divides the cuts into goes of at most so many. There are two or more, for
// there are two kinds of durability.
func goes(cuts, most int) (sizes []int) {
	n := max(2, (cuts+most-1)/most)
	for i := range n {
		sizes = append(sizes, cuts*(i+1)/n-cuts*i/n)
	}
	return slices.DeleteFunc(sizes, func(size int) bool { return size == 0 })
}

// tally counts cuts, and those after which a promise was broken.
type tally struct {
	cuts, broken, control int
	again                 int // cuts during the recovery from another
	commits, pruned       int64
}

func (c *tally) add(t *testing.T, f *found) {
	t.Helper()
	c.cuts++
	if len(f.ckptfs) > 0 {
		c.broken++
		for _, complaint := range f.ckptfs {
			t.Logf("cut %d: %s", c.cuts, complaint)
		}
	}
	if len(f.control) > 0 {
		c.control++
	}
}

// report fails the test when a promise was broken, and when the control has
// lost nothing: then the harness would not have noticed.
func (c *tally) report(t *testing.T, subject string) {
	t.Helper()
	figures.Report(t, subject, "%d and %d during recovery, %d violations (without ckptfs %d), in %d commits and %d prunings",
		c.cuts, c.again, c.broken, c.control, c.commits, c.pruned)
	if c.broken > 0 {
		t.Errorf("after %d of %d cuts a promise was broken", c.broken, c.cuts+c.again)
	}
	if c.control == 0 {
		t.Error("trainers without ckptfs lost nothing: this proves nothing")
	}
}

// hostDir is a directory on XFS, which can take a reflink of an image while it is
// written to. It is made once, in a file that has no name any more: nothing of
// it can be left behind.
func hostDir(t *testing.T) string {
	t.Helper()
	dir, err := host()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sub) })
	return sub
}

const hostSize = 32 << 30 // what is used of it is a few GB

var host = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.Getenv(scratchVar), "host")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(os.Getenv(scratchVar), "host.img")
	defer os.Remove(file)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(file, hostSize); err != nil {
		return "", err
	}
	device, err := attach(file, false)
	if err != nil {
		return "", err
	}
	defer device.close() // the mount keeps it
	if err := xfs.make(device.path()); err != nil {
		return "", err
	}
	return dir, xfs.mount(device.path(), dir)
})
