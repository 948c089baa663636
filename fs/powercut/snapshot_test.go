package powercut

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
