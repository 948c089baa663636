package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/runs"
)

// chunk is what is written and read at a time, as trainers do.
const chunk = 8 << 20

// The shards of a checkpoint that is saved in many pieces.
const (
	benchShards = 200
	shardSize   = 64 << 10
)

// saveBench writes a checkpoint that is whole: the small files of a real one, and
// weights of the size that was asked for. If it is to be durable, each file is
// synced before it is closed.
func saveBench(ctx context.Context, dir string, bytes int64, durable bool) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := saveSmall(dir, durable); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "model.safetensors"), durable, func(f *os.File) error {
		return writeWeights(ctx, f, bytes)
	})
}

// saveSmall writes all but the weights.
func saveSmall(dir string, durable bool) error {
	for _, name := range []string{"config.json", "training_state.pth"} {
		content, err := realFile(name)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name), durable, func(f *os.File) error {
			_, err := f.Write(content)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// realFile is a file of a checkpoint that a trainer has left.
func realFile(name string) ([]byte, error) {
	return fs.ReadFile(runs.FS, path.Join("enstack/checkpoint_epoch1_step4", name))
}

// writeFile makes a file, and syncs it if it is to be durable.
func writeFile(name string, durable bool, write func(*os.File) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeWeights writes a safetensors file with one tensor of that many bytes.
func writeWeights(ctx context.Context, w io.Writer, bytes int64) error {
	header, err := json.Marshal(map[string]any{
		"weights": map[string]any{"dtype": "U8", "shape": []int64{bytes}, "data_offsets": []int64{0, bytes}},
	})
	if err != nil {
		return err
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)); err != nil {
		return err
	}
	buffer := pattern(int(min(bytes, chunk)))
	for left := bytes; left > 0; left -= chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.Write(buffer[:min(left, chunk)]); err != nil {
			return err
		}
	}
	return nil
}

// pattern is something that no file system can leave out, as it could zeroes.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// writeShards writes a checkpoint in many pieces.
func writeShards(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	shard := pattern(shardSize)
	for i := range benchShards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("shard-%05d-of-%05d.bin", i, benchShards)), shard, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// eachFile opens every file of a checkpoint for reading.
func eachFile(dir string, f func(*os.File) error) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		file, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		err = f(file)
		file.Close() // it was only read
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
	}
	return nil
}

// loadBench reads every file of a checkpoint.
func loadBench(ctx context.Context, dir string) error {
	buffer := make([]byte, chunk)
	return eachFile(dir, func(f *os.File) (err error) {
		for err == nil {
			if err = ctx.Err(); err == nil {
				_, err = f.Read(buffer)
			}
		}
		if err == io.EOF {
			return nil
		}
		return err
	})
}

// mapBench maps every file of a checkpoint into memory and copies it from there,
// as safetensors does.
func mapBench(ctx context.Context, dir string) error {
	buffer := make([]byte, chunk)
	return eachFile(dir, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		mapped, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("map: %w", err)
		}
		for left := mapped; len(left) > 0 && ctx.Err() == nil; left = left[min(len(left), chunk):] {
			copy(buffer, left)
		}
		return errors.Join(ctx.Err(), unix.Munmap(mapped))
	})
}

// evict drops the pages of every file of a checkpoint from the page cache. They
// were written out before.
func evict(dir string) error {
	return eachFile(dir, func(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) })
}

// syncTree makes what was written durable.
func syncTree(dir string) error {
	err := eachFile(dir, func(f *os.File) error { return f.Sync() })
	return errors.Join(err, syncPath(dir), syncPath(filepath.Dir(dir)))
}

func syncPath(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	return f.Sync()
}

// flush writes out what the file system of dir has in memory.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
