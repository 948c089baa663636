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
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/runs"
)

// chunk is what is written and read at a time, as trainers do.
const chunk = 8 << 20

// benchSide is one of the two ways that are compared: a run, how a save in it is
// committed, and where the newest checkpoint is loaded from.
type benchSide struct {
	run    string
	commit func(name string) error
	newest func(name string) string
	save   []time.Duration // one of each round
	load   []time.Duration
}

// round saves one checkpoint, loads it, and removes it again. It is loaded twice,
// and the second time counts: the first has it in the page cache.
func (s *benchSide) round(ctx context.Context, number int, bytes int64) error {
	name := fmt.Sprintf("checkpoint_epoch1_step%d", number)
	dir := filepath.Join(s.run, name)
	started := time.Now()
	if err := saveBench(ctx, dir, bytes); err != nil {
		return err
	}
	s.save = append(s.save, time.Since(started))
	if err := s.commit(name); err != nil {
		return err
	}
	if err := flush(s.run); err != nil { // the next round finds a quiet disk
		return err
	}
	if err := loadBench(ctx, s.newest(name)); err != nil {
		return err
	}
	started = time.Now()
	if err := loadBench(ctx, s.newest(name)); err != nil {
		return err
	}
	s.load = append(s.load, time.Since(started))
	return os.RemoveAll(dir)
}

// saveBench writes a checkpoint that is whole: the small files of a real one, and
// weights of the size that was asked for.
func saveBench(ctx context.Context, dir string, bytes int64) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"config.json", "training_state.pth"} {
		content, err := fs.ReadFile(runs.FS, path.Join("enstack/checkpoint_epoch1_step4", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	return errors.Join(writeWeights(ctx, f, bytes), f.Close())
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
	buffer := make([]byte, chunk)
	for i := range buffer {
		buffer[i] = byte(i * 7) // zeroes could be left out by the file system
	}
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

// loadBench reads every file of a checkpoint.
func loadBench(ctx context.Context, dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	buffer := make([]byte, chunk)
	for _, e := range list {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		for err == nil {
			if err = ctx.Err(); err == nil {
				_, err = f.Read(buffer)
			}
		}
		f.Close() // it was only read
		if err != io.EOF {
			return err
		}
	}
	return nil
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
