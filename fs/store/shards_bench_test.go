package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// shard is what the benchmarks write into each file; a checkpoint has so many.
var shard = make([]byte, 64<<10)

const shardsOfOne = 200

// BenchmarkShards saves files of 64 KiB into new checkpoints, as the kernel asks
// for it with passthrough: a look-up, a create, the last close. What is written goes
// to the descriptor. "disk" is the same without the store; the difference is what the
// store costs: go test -bench Shards ./fs/store.
func BenchmarkShards(b *testing.B) {
	b.Run("disk", func(b *testing.B) {
		benchmarkShards(b, diskWriter{b.TempDir()})
	})
	b.Run("store", func(b *testing.B) {
		benchmarkShards(b, newStoreWriter(b))
	})
}

func benchmarkShards(b *testing.B, w shardWriter) {
	runtime.LockOSThread() // a trainer's thread is one for the kernel
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("checkpoint_epoch1_step%d", i/shardsOfOne)
		if i%shardsOfOne == 0 {
			b.StopTimer()
			if i > 0 {
				w.discard(fmt.Sprintf("checkpoint_epoch1_step%d", i/shardsOfOne-1))
			}
			if err := w.begin(name); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		if err := w.write(name, i%shardsOfOne); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriters has as many writers save into as many checkpoints at once, 200
// files of 64 KiB each, with the commits: go test -bench Writers ./fs/store. What one
// writer takes and what eight take says what they wait for each other; beside the
// disk it says for whom.
func BenchmarkWriters(b *testing.B) {
	for _, writers := range []int{1, 8} {
		for _, side := range []struct {
			name string
			make func(b *testing.B) shardWriter
		}{
			{"disk", func(b *testing.B) shardWriter { return diskWriter{b.TempDir()} }},
			{"store", func(b *testing.B) shardWriter { return newStoreWriter(b) }},
		} {
			b.Run(fmt.Sprintf("%d/%s", writers, side.name), func(b *testing.B) {
				w := side.make(b)
				for i := 0; b.Loop(); i++ {
					var all sync.WaitGroup
					for j := range writers {
						all.Go(func() {
							runtime.LockOSThread()
							defer runtime.UnlockOSThread()
							if err := saveShards(w, fmt.Sprintf("checkpoint_epoch%d_step%d", i+1, j+1)); err != nil {
								b.Error(err)
							}
						})
					}
					all.Wait()
					b.StopTimer()
					for j := range writers {
						w.discard(fmt.Sprintf("checkpoint_epoch%d_step%d", i+1, j+1))
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*writers*shardsOfOne), "µs/file")
			})
		}
	}
}

// saveShards is one checkpoint, durable when it returns.
func saveShards(w shardWriter, name string) error {
	if err := w.begin(name); err != nil {
		return err
	}
	for i := range shardsOfOne {
		if err := w.write(name, i); err != nil {
			return err
		}
	}
	return w.commit(name)
}

// shardWriter is a side of the comparison.
type shardWriter interface {
	begin(name string) error
	write(name string, n int) error
	commit(name string) error
	discard(name string)
}

type diskWriter struct{ dir string }

func (w diskWriter) begin(name string) error { return os.Mkdir(filepath.Join(w.dir, name), 0o755) }

func (w diskWriter) write(name string, n int) error {
	fd, err := unix.Open(filepath.Join(w.dir, name, shardName(n)), unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, shard)
	return err
}

func (w diskWriter) commit(name string) error {
	for n := range shardsOfOne {
		if err := syncFile(filepath.Join(w.dir, name, shardName(n))); err != nil {
			return err
		}
	}
	if err := syncFile(filepath.Join(w.dir, name)); err != nil {
		return err
	}
	return syncFile(w.dir)
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (w diskWriter) discard(name string) { os.RemoveAll(filepath.Join(w.dir, name)) }

func shardName(n int) string { return fmt.Sprintf("shard-%05d-of-%05d.bin", n, shardsOfOne) }

type storeWriter struct{ s *Store }

func newStoreWriter(b *testing.B) storeWriter {
	root, err := disk.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	cfg := policy.Default()
	cfg.Save.Settle = time.Hour // committed when it is asked for
	cfg.Retention = policy.Retention{}
	s, err := Open(root, Options{Config: cfg})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return storeWriter{s}
}

func (w storeWriter) caller() Caller { return Caller{TID: uint32(unix.Gettid())} }

func (w storeWriter) begin(name string) error {
	_, err := w.s.Mkdir(name, 0o755, w.caller())
	return err
}

func (w storeWriter) write(name string, n int) error {
	p, c := name+"/"+shardName(n), w.caller()
	if _, err := w.s.Lookup(p, c.TID); !isGone(err) {
		return fmt.Errorf("%s is there before it was made: %v", p, err)
	}
	f, _, err := w.s.Create(p, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644, c)
	if err != nil {
		return err
	}
	defer f.Release()
	if _, err := unix.Write(int(f.Fd()), shard); err != nil {
		return err
	}
	return f.Flush(c.TID)
}

func (w storeWriter) commit(name string) error { return w.s.Commit(name, true) }

func (w storeWriter) discard(name string) {
	for n := range shardsOfOne {
		w.s.Unlink(name+"/"+shardName(n), w.caller()) // those that are there
	}
	w.s.Rmdir(name, w.caller())
}
