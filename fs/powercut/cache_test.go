package powercut

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ckptfs/testdata/figures"
)

// The disk has a volatile cache: what came after the last flush is lost,
// reordered, or torn. P1, P2 and P4 hold.
func TestWriteCache(t *testing.T) {
	want := cuts(t)
	for _, fs := range []filesystem{ext4, ext4.with("data=writeback,noauto_da_alloc"), xfs, btrfs} {
		t.Run(fs.name, func(t *testing.T) {
			var tally tally
			for i, n := range goes(want, 50) {
				cutWithCache(t, fs, durabilities[i%2], n, &tally)
			}
			tally.report(t, "cuts with a volatile write cache on "+fs.name)
		})
	}
}

// Were nothing lost on a file system that sends no flushes, the harness would not
// notice what is.
func TestWithoutBarriersPromisesAreBroken(t *testing.T) {
	want := cuts(t)
	var tally tally
	for _, n := range goes(want, 10) {
		if cutWithCache(t, unsafe, async, n, &tally); tally.broken > 0 {
			break
		}
	}
	if tally.broken == 0 {
		t.Errorf("ext4 without barriers has kept every promise in %d cuts: this proves nothing", tally.cuts)
	}
	figures.Report(t, "cuts with a volatile write cache on "+unsafe.name, "%d and %d during recovery, %d violations, as it has to be", tally.cuts, tally.again, tally.broken)
}

// cutWithCache lets the trainers work on a glass disk, and cuts the power after
// random events.
func cutWithCache(t *testing.T, fs filesystem, durability string, n int, tally *tally) {
	t.Helper()
	m := newMachine(t, fs)
	m.durability = durability
	dir := hostDir(t)
	blank, image := filepath.Join(dir, "blank.img"), filepath.Join(dir, "disk.img")
	m.format(blank)
	m.must(reflink(blank, image))
	g := m.serve(image)
	m.ledger.now = g.position
	m.insert(g.file(), false)
	m.start()
	from := g.position()
	time.Sleep(time.Second + time.Duration(n)*50*time.Millisecond) // the more cuts, the more there is to cut
	to := g.position()
	m.halt()
	m.eject()
	g.close()
	tally.commits += m.commits
	tally.pruned += m.pruned

	events, err := readEvents(g.log)
	m.must(err)
	log, err := os.Open(g.log)
	m.must(err)
	defer log.Close()
	disk := &lossyDisk{log: log, events: events, durable: blank, whole: fs.needsSectors}
	for i, at := range instants(events, from, to, n) {
		cut := filepath.Join(dir, "cut.img")
		m.must(disk.cut(at, damage(i%2), cut))
		m.afterCut(cut, m.ledger.made(events[at-1].end), tally)
	}
}

// instants are n numbers of events, ascending, between two positions.
func instants(events []event, from, to int64, n int) []int {
	first, _ := slices.BinarySearchFunc(events, from, func(e event, p int64) int { return int(e.end - p) })
	last, _ := slices.BinarySearchFunc(events, to, func(e event, p int64) int { return int(e.end - p) })
	out := make([]int, n)
	for i := range out {
		out[i] = first + 1 + rand.N(max(last-first, 1))
	}
	slices.Sort(out)
	return out
}
