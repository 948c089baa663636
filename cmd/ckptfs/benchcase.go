package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// benchCase is one thing that is done on every side. run does it once, and says
// how long it took; what it needs before and leaves behind is not in that.
type benchCase struct {
	name    string
	what    string
	run     func(context.Context, *bench, *benchSide) (time.Duration, error)
	data    bool    // it moves as many bytes as a checkpoint has
	mounts  bool    // it means nothing on the disk
	root    bool    // only root can do it
	program string  // has to be installed
	goal    float64 // the least ratio that is aimed at, 0 for none
}

var benchCases = []benchCase{
	{name: "mount", what: "from the command to a mount that can be used, with all checkpoints", run: remount, mounts: true},
	{name: "save", what: "from the first file to the close of the last", run: saveOnce, data: true, goal: 0.95},
	{name: "save-durable", what: "the same, with fsync of each file, of the checkpoint and of the run", run: saveDurably, data: true, goal: 0.9},
	{name: "save-shards", what: "200 files of 64 KiB into a new checkpoint", run: saveShards, goal: 0.4},
	{name: "commit", what: "from the last close until latest/ shows it, without the time to settle; on the disk, fsync of the same files", run: commitOnce, data: true},
	{name: "load", what: "read every file, from the page cache", run: loadWarm, data: true, goal: 0.95},
	{name: "load-cold", what: "the same, from the disk", run: loadCold, data: true, goal: 0.95},
	{name: "load-mmap", what: "map every file and copy it, from the page cache", run: loadMapped, data: true, goal: 0.9},
	{name: "list", what: "list all checkpoints, with a stat of each file", run: warm(listTree), goal: 0.9},
	{name: "list-cold", what: "the same, after the kernel has dropped all names and inodes of the whole machine", run: cold(listTree), root: true, goal: 0.45},
	{name: "ls", what: "the program ls -lR over the same", run: warm(program("ls", "-lR")), program: "ls", goal: 0.4},
	{name: "du", what: "sum up blocks by descriptor, as du and rm do", run: warm(sumTree), goal: 0.45},
	{name: "du-cold", what: "the same, after the kernel has dropped all names and inodes of the whole machine", run: cold(sumTree), root: true, goal: 0.3},
	{name: "du-program", what: "the program du -s over the same", run: warm(program("du", "-s")), program: "du"},
	{name: "stat", what: "stat of one file, 1,000 times", run: statOne, goal: 0.9},
	{name: "view", what: "open and close config.json of the newest checkpoint, 1,000 times; through the mount, in latest/", run: openView},
}

func caseNames() (names []string) {
	for _, c := range benchCases {
		names = append(names, c.name)
	}
	return names
}

// describeCases is for the help.
func describeCases() string {
	var b strings.Builder
	for _, c := range benchCases {
		fmt.Fprintf(&b, "  %-13s%s\n", c.name, c.what)
	}
	return strings.TrimRight(b.String(), "\n")
}

// concerns reports whether a case is measured on a side.
func (c benchCase) concerns(s *benchSide) bool {
	if s.mount == nil && c.mounts || s.gaveUp[c.name] {
		return false
	}
	return s.name != noPassthroughSide || c.data // nothing else is any different there
}

// remount takes a side down, and says how long it is until it can be used again.
func remount(ctx context.Context, _ *bench, s *benchSide) (time.Duration, error) {
	if err := s.unmount(ctx); err != nil {
		return 0, err
	}
	return timed(func() error {
		if err := s.mount(ctx); err != nil {
			return err
		}
		_, err := os.Stat(filepath.Join(s.dir, benchMany, benchCheckpoint(1)))
		return err
	})
}

// saveCase saves a checkpoint with f, and removes it again. Of the time after f
// nothing counts; the next one finds a quiet disk.
func saveCase(ctx context.Context, s *benchSide, f func(dir string) (time.Duration, error)) (time.Duration, error) {
	dir := filepath.Join(s.dir, benchSaves, benchCheckpoint(1))
	took, err := f(dir)
	return took, errors.Join(err, os.RemoveAll(dir), s.emptyTrash(ctx), flush(s.backing))
}

// emptyTrash gives the space of what was committed back. What the kernel has not
// let go yet goes with the next round.
func (s *benchSide) emptyTrash(ctx context.Context) error {
	if !s.views {
		return nil
	}
	err := runSelf(ctx, "trash", "empty", "--all", s.dir)
	if exitCode(err) == exitRefused {
		return nil
	}
	return err
}

func saveOnce(ctx context.Context, b *bench, s *benchSide) (time.Duration, error) {
	return saveCase(ctx, s, func(dir string) (time.Duration, error) {
		return timed(func() error { return saveBench(ctx, dir, b.bytes, false) })
	})
}

func saveDurably(ctx context.Context, b *bench, s *benchSide) (time.Duration, error) {
	return saveCase(ctx, s, func(dir string) (time.Duration, error) {
		return timed(func() error {
			return errors.Join(saveBench(ctx, dir, b.bytes, true), syncPath(dir), syncPath(filepath.Dir(dir)))
		})
	})
}

func saveShards(ctx context.Context, _ *bench, s *benchSide) (time.Duration, error) {
	return saveCase(ctx, s, func(dir string) (time.Duration, error) {
		return timed(func() error { return writeShards(ctx, dir) })
	})
}

// commitOnce takes what comes after the last close: with views, the commit; else
// what makes the files as durable.
func commitOnce(ctx context.Context, b *bench, s *benchSide) (time.Duration, error) {
	return saveCase(ctx, s, func(dir string) (time.Duration, error) {
		if err := saveBench(ctx, dir, b.bytes, false); err != nil {
			return 0, err
		}
		return timed(func() error {
			if !s.views {
				return syncTree(dir)
			}
			if err := s.daemon().Commit(filepath.Join(benchSaves, filepath.Base(dir)), false); err != nil {
				return err
			}
			_, err := os.Stat(s.newest(benchSaves, filepath.Base(dir)))
			return err
		})
	})
}

func loadWarm(ctx context.Context, _ *bench, s *benchSide) (time.Duration, error) {
	return again(func() error { return loadBench(ctx, s.newest(benchLoads, benchCheckpoint(1))) })
}

func loadMapped(ctx context.Context, _ *bench, s *benchSide) (time.Duration, error) {
	return again(func() error { return mapBench(ctx, s.newest(benchLoads, benchCheckpoint(1))) })
}

func loadCold(ctx context.Context, _ *bench, s *benchSide) (time.Duration, error) {
	dir := s.newest(benchLoads, benchCheckpoint(1))
	if err := errors.Join(evict(dir), evict(filepath.Join(s.backing, benchLoads, benchCheckpoint(1)))); err != nil {
		return 0, err
	}
	return timed(func() error { return loadBench(ctx, dir) })
}

// again does something three times, and times the third: the first finds what is
// needed, and the second what the first has made the kernel forget: to read a
// directory changes when it was last read.
func again(f func() error) (time.Duration, error) {
	if err := errors.Join(f(), f()); err != nil {
		return 0, err
	}
	return timed(f)
}

// walk is something that is done to the tree of all checkpoints.
type walk func(ctx context.Context, b *bench, dir string) error

func warm(f walk) func(context.Context, *bench, *benchSide) (time.Duration, error) {
	return func(ctx context.Context, b *bench, s *benchSide) (time.Duration, error) {
		return again(func() error { return f(ctx, b, filepath.Join(s.dir, benchMany)) })
	}
}

func cold(f walk) func(context.Context, *bench, *benchSide) (time.Duration, error) {
	return func(ctx context.Context, b *bench, s *benchSide) (time.Duration, error) {
		if err := dropNames(s.backing); err != nil {
			return 0, err
		}
		return timed(func() error { return f(ctx, b, filepath.Join(s.dir, benchMany)) })
	}
}

// often is how many times the cases are repeated that take next to no time.
const often = 1000

func statOne(_ context.Context, b *bench, s *benchSide) (time.Duration, error) {
	file := filepath.Join(s.dir, benchMany, benchCheckpoint(b.checkpoints), "config.json")
	return again(func() (err error) {
		var st unix.Stat_t
		for i := 0; i < often && err == nil; i++ {
			err = unix.Lstat(file, &st)
		}
		return err
	})
}

func openView(_ context.Context, b *bench, s *benchSide) (time.Duration, error) {
	file := filepath.Join(s.newest(benchMany, benchCheckpoint(b.checkpoints)), "config.json")
	return again(func() error {
		for range often {
			fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			if err != nil {
				return fmt.Errorf("open %s: %w", file, err)
			}
		}
		return nil
	})
}

// program is a program that is given the tree. What it prints is not looked at.
func program(words ...string) walk {
	return func(ctx context.Context, _ *bench, dir string) error {
		cmd := exec.CommandContext(ctx, words[0], append(slices.Clone(words[1:]), dir)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		return cmd.Run()
	}
}
