package fs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/policy"
	"ckptfs/testdata/saves"
)

// crowded is a run on a small disk, and a file beside it that takes the rest.
type crowded struct {
	*mounted
	t      *testing.T
	filler string
}

// crowd mounts over a run below dir, whose space ends somewhere.
func crowd(t *testing.T, dir, config string) *crowded {
	t.Helper()
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	return &crowded{mountOver(t, run, config), t, filepath.Join(dir, "filler")}
}

// fillUp takes all space but so many bytes, what could give way included: to
// begin a checkpoint has everything give way.
func (c *crowded) fillUp(leave int64) {
	c.t.Helper()
	all := int64(-1)
	for {
		size := c.fill()
		if size <= all {
			break
		}
		all = size
		probe := c.path("checkpoint_epoch99_step99")
		if os.Mkdir(probe, 0o755) == nil {
			os.Remove(probe)
		}
	}
	if leave > 0 {
		c.clear()
		if err := os.WriteFile(c.filler, make([]byte, max(all-leave, 0)), 0o600); err != nil {
			c.t.Fatal(err)
		}
		c.sync()
	}
}

// fill appends to the filler until there is no space.
func (c *crowded) fill() int64 {
	c.t.Helper()
	f, err := os.OpenFile(c.filler, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil && !noSpace(err) {
		c.t.Fatal(err)
	}
	if err != nil {
		return 0
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 64 << 10, 4096, 512} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !noSpace(err) {
			c.t.Fatalf("fill the disk: %v", err)
		}
	}
	c.sync()
	st, err := f.Stat()
	if err != nil {
		c.t.Fatal(err)
	}
	return st.Size()
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// sync has the file system count what was written and removed.
func (c *crowded) sync() {
	if f, err := os.Open(filepath.Dir(c.filler)); err == nil {
		unix.Syncfs(int(f.Fd()))
		f.Close()
	}
}

// clear gives the space back.
func (c *crowded) clear() {
	c.t.Helper()
	if err := os.Remove(c.filler); err != nil {
		c.t.Fatal(err)
	}
	c.sync()
}

// shows is what resume/ shows.
func (c *crowded) shows(when, token string) {
	c.t.Helper()
	if got, err := load(c.path("resume")); err != nil || got != token {
		c.t.Errorf("%s: resume/ shows %q, %v; want %q", when, got, err, token)
	}
}

// whole checks that what is listed as committed is whole (P1).
func (c *crowded) whole(when string) {
	c.t.Helper()
	for _, row := range c.list() {
		if row.State == policy.Committed && !row.Saving {
			if _, err := load(c.path(row.Name)); err != nil {
				c.t.Errorf("%s: %s is listed as committed: %v", when, row.Name, err)
			}
		}
	}
}

// plain unmounts and checks that only whole checkpoints lie under natural names
// (P4).
func (c *crowded) plain() {
	c.t.Helper()
	c.stop()
	entries, err := os.ReadDir(c.back)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "checkpoint") && e.Name()[0] != '.' {
			if _, err := load(filepath.Join(c.back, e.Name())); err != nil {
				c.t.Errorf("in the backing directory: %s: %v", e.Name(), err)
			}
		}
	}
}

// A disk that is full, wherever in a save it becomes so: the writer gets the
// errno, what was committed before stays, nothing half-written is listed as
// committed, and once there is space the next save works, without a remount (P2,
// P7).
func TestFullDisk(t *testing.T) {
	for _, disk := range []struct {
		name  string
		errno unix.Errno
		make  func(t *testing.T) string
	}{
		{"ext4", unix.ENOSPC, func(t *testing.T) string { return smallDisk(t, 64, append(ext4, "-m", "0")...) }},
		{"tmpfs", unix.ENOSPC, func(t *testing.T) string { return smallDisk(t, 8, "tmpfs") }},
		{"a quota of btrfs", unix.EDQUOT, quota},
	} {
		t.Run(disk.name, func(t *testing.T) {
			c := crowd(t, disk.make(t), "save: {settle: 10ms}\n")
			c.save("0")
			failed, n := map[string]int{}, 0
			for _, leave := range []int64{0, 32 << 10, 512 << 10} {
				for _, pattern := range []string{saves.Overwrite, saves.InPlaceNew, saves.TmpRename, saves.RenameAside} {
					when := fmt.Sprintf("%s with %d bytes left", pattern, leave)
					n += 2
					before, token, again := fmt.Sprint(n-2), fmt.Sprint(n-1), fmt.Sprint(n)
					c.fillUp(leave)
					err := saves.Save(c.mnt, pattern, token, pad)
					var at *os.PathError
					if errors.As(err, &at) {
						failed[at.Op]++
					} else if err != nil {
						failed["rename"]++
					}
					if err == nil && leave < pad || err != nil && !errors.Is(err, disk.errno) {
						t.Errorf("%s: %v, want %v", when, err, disk.errno)
					}
					if got, err := load(c.path("resume")); err != nil || got != before && got != token {
						t.Errorf("%s: resume/ shows %q, %v; want %q", when, got, err, before)
					}
					c.whole(when)
					c.clear()
					c.save(again)
					for _, name := range []string{saves.Target(saves.InPlaceNew, token), ".tmp_last_checkpoint_abcdefgh", ".backup_last_checkpoint"} {
						if err := os.RemoveAll(c.path(name)); err != nil {
							t.Fatalf("%s, tidy up: %v", when, err)
						}
					}
				}
			}
			c.plain()
			t.Logf("failed calls: %v", failed)
			if failed["write"] == 0 || failed["mkdir"]+failed["open"] == 0 {
				t.Errorf("calls of one kind only failed: %v", failed)
			}
		})
	}
}

// quota makes a btrfs with a subvolume that may take 16 MiB.
func quota(t *testing.T) string {
	disk := smallDisk(t, 128, btrfs...)
	sub := filepath.Join(disk, "sub")
	for _, args := range [][]string{{"quota", "enable", disk}, {"subvolume", "create", sub}, {"qgroup", "limit", "16M", sub}} {
		if out, err := exec.Command("btrfs", args...).CombinedOutput(); err != nil {
			t.Skipf("btrfs %s: %s", strings.Join(args, " "), out)
		}
	}
	return sub
}

// save overwrites last_checkpoint, and returns when that is committed.
func (c *crowded) save(token string) {
	c.t.Helper()
	if err := saves.Save(c.mnt, saves.Overwrite, token, pad); err != nil {
		c.t.Fatalf("save %s: %v", token, err)
	}
	defer func() {
		if c.t.Failed() {
			c.t.Logf("open saves: %+v", c.status().Runs[0].Saves)
		}
	}()
	eventually(c.t, token+" is committed", func() bool { got, _ := load(c.path("resume")); return got == token })
}
