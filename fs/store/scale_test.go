package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// openings counts which files a mount opens.
type openings struct {
	disk.Disk
	mu    sync.Mutex
	files map[string]int // by the directory that they lie in: "data" for all but the private ones
}

func (o *openings) Open(op disk.Op, p string, flags int, mode uint32) (*os.File, error) {
	where := "data"
	if rest, private := strings.CutPrefix(p, Private+"/"); private {
		where, _, _ = strings.Cut(rest, "/")
	}
	o.mu.Lock()
	o.files[where]++
	o.mu.Unlock()
	return o.Disk.Open(op, p, flags, mode)
}

// manyCheckpoints makes a run of n checkpoints that share the inodes of their
// files, and recovers it once.
func manyCheckpoints(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	shared := t.TempDir() // on the same file system
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range (content{"one", 1, 1}).files() {
		must(os.WriteFile(filepath.Join(shared, name), data, 0o644))
	}
	for i := range n {
		at := filepath.Join(dir, fmt.Sprintf("checkpoint_epoch%d_step%d", i/100+1, i%100+1))
		must(os.Mkdir(at, 0o755))
		for _, name := range checkpointFiles {
			must(os.Link(filepath.Join(shared, name), filepath.Join(at, name)))
		}
	}
	root, err := disk.OpenRoot(dir)
	must(err)
	s := newStore(root, Options{Config: policy.Default()})
	must(s.prepare())
	must(s.recoverAll())
	for _, rec := range s.allRecords() { // what the keeper does in the background
		must(s.hashVersion(rec.committed, nil))
	}
	must(s.Close())
	return dir
}

// mountOnce opens the store as a mount does; count, which may be nil, sees every
// file that is opened until then.
func mountOnce(dir string, count *openings) (*Store, error) {
	root, err := disk.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	var d disk.Disk = root
	if count != nil {
		count.Disk, count.files = root, map[string]int{}
		d = count
	}
	return Open(d, Options{Config: policy.Default()})
}

// A mount reads one file for all manifests and no data, whatever their number: it
// is bounded by the names, not by the bytes.
func TestMountReadsNoData(t *testing.T) {
	const n = 200
	dir := manyCheckpoints(t, n)
	var count openings
	s, err := mountOnce(dir, &count)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := len(s.recordsAt("")); got != n {
		t.Errorf("%d checkpoints, want %d", got, n)
	}
	count.mu.Lock()
	defer count.mu.Unlock()
	if count.files["data"] != 0 || count.files["manifests"] != 0 || count.files["papers"] != 1 {
		t.Errorf("opened were %v, want what the manifests say, in one file, and no data", count.files)
	}
}

// BenchmarkMount is a mount of a run that was mounted before: go test -bench Mount.
func BenchmarkMount(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := manyCheckpoints(b, n)
			for b.Loop() {
				s, err := mountOnce(dir, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
