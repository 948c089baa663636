package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ckptfs/testdata/figures"
)

// A mount costs a look at each file, never its content: a run of many checkpoints
// is there at once.
func TestManyCheckpoints(t *testing.T) {
	many := 10000
	if testing.Short() {
		many = 1000
	}
	b := newBench(t, t.TempDir())
	template := filepath.Join(t.TempDir(), "template")
	must(t, os.CopyFS(template, os.DirFS(filepath.Join(realRun, "checkpoint_epoch1_step4"))))
	files, err := os.ReadDir(template)
	must(t, err)
	for i := range many {
		dir := filepath.Join(b.dir, fmt.Sprintf("checkpoint_epoch%d_step%d", i/100+1, i%100+1))
		must(t, os.Mkdir(dir, 0o755))
		for _, f := range files {
			must(t, os.Link(filepath.Join(template, f.Name()), filepath.Join(dir, f.Name())))
		}
	}
	start := time.Now()
	b.start()
	first := time.Since(start)
	b.stop()
	start = time.Now()
	b.start()
	took := time.Since(start)
	defer b.stop()
	if got := len(b.recordsOf(b.runAt(""))); got != many {
		t.Errorf("%d checkpoints are known, of %d", got, many)
	}
	figures.Report(t, "mounts", "%d checkpoints in %v, the first time in %v", many, took.Round(time.Millisecond), first.Round(time.Millisecond))
}
