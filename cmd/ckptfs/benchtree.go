package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// smallFiles are what each of many checkpoints has: the files of a real one, and
// what trainers put beside them.
var smallFiles = []string{"config.json", "training_state.pth", "pytorch_model.bin", "tokenizer.json", "training_args.json", "vocab.txt"}

// makeMany makes a run of n small checkpoints. Each has inodes of its own: what
// is listed has to be looked at.
func makeMany(ctx context.Context, run string, n int) error {
	content := map[string][]byte{}
	for _, name := range smallFiles {
		b, err := realFile(name)
		if errors.Is(err, os.ErrNotExist) {
			b, err = []byte("{}\n"), nil
		}
		if err != nil {
			return err
		}
		content[name] = b
	}
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(run, benchCheckpoint(i+1))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for _, name := range smallFiles {
			if err := os.WriteFile(filepath.Join(dir, name), content[name], 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// found complains when a walk has not seen what is there: a file system that
// lists nothing would be the fastest.
func (b *bench) found(n int) error {
	if want := b.checkpoints * (1 + len(smallFiles)); n != want {
		return fmt.Errorf("%d entries were found, and there are %d", n, want)
	}
	return nil
}

// listTree lists by path, with a stat of each entry.
func listTree(_ context.Context, b *bench, dir string) error {
	seen := 0
	var list func(dir string) error
	list = func(dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, err := e.Info(); err != nil {
				return err
			}
			seen++
			if !e.IsDir() {
				continue
			}
			if err := list(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		return nil
	}
	if err := list(dir); err != nil {
		return err
	}
	return b.found(seen)
}

// sumTree adds up the blocks of a tree. It does what fts(3) does for du and rm:
// every directory is opened from the one above, and looked at once more when it
// is open.
func sumTree(_ context.Context, b *bench, dir string) error {
	seen, blocks := 0, int64(0)
	var sum func(parent int, name string) error
	sum = func(parent int, name string) error {
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close() // it was only read
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		names, err := f.Readdirnames(-1)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return err
			}
			seen, blocks = seen+1, blocks+st.Blocks
			if st.Mode&unix.S_IFMT != unix.S_IFDIR {
				continue
			}
			if err := sum(fd, name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := sum(unix.AT_FDCWD, dir); err != nil {
		return err
	}
	if blocks == 0 {
		return fmt.Errorf("no blocks in %s", dir)
	}
	return b.found(seen)
}

// dropNames has the kernel forget all names and inodes that it can, of every
// file system: those of a mount, and those of the disk beneath it.
func dropNames(dir string) error {
	if err := flush(dir); err != nil { // what is dirty stays
		return err
	}
	f, err := os.OpenFile("/proc/sys/vm/drop_caches", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("2\n")
	return errors.Join(err, f.Close())
}
