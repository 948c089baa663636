package fs_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel caches every listing, and nobody is shown a stale one: what was closed,
// committed, renamed or pruned a moment ago is in the next listing, or no more in it,
// also while others list all the time (P1, P5).
func TestListingsAreExact(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	var others sync.WaitGroup
	stop := make(chan struct{})
	defer others.Wait()
	defer close(stop)
	for _, dir := range []string{"", "checkpoint_epoch9_step1", "by-epoch"} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					os.ReadDir(m.path(dir)) // it may not be there yet
				}
			}
		})
	}
	lists := func(dir, name string) bool {
		t.Helper()
		names, err := listNames(m.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(names, name)
	}
	const dir = "checkpoint_epoch9_step1"
	if err := os.Mkdir(m.path(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		name := fmt.Sprint("shard-", i)
		if err := os.WriteFile(m.path(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if !lists(dir, name) {
			t.Fatalf("%s was closed and is not listed", name)
		}
		if err := os.Remove(m.path(dir, name)); err != nil {
			t.Fatal(err)
		}
		if lists(dir, name) {
			t.Fatalf("%s was removed and is listed", name)
		}
	}
	saveInPlace(t, run+"/last_checkpoint", m.path(dir))
	eventually(t, "it is committed", func() bool { return exists(m.path("by-epoch/9")) })
	eventually(t, "its number is listed", func() bool { return lists("by-epoch", "9") })
	if err := os.Rename(m.path(dir), m.path("checkpoint_epoch8_step1")); err != nil {
		t.Fatal(err)
	}
	if lists("", dir) || !lists("", "checkpoint_epoch8_step1") {
		t.Error("a listing does not show a rename")
	}
	if err := os.RemoveAll(m.path("checkpoint_epoch8_step1")); err != nil {
		t.Fatal(err)
	}
	if lists("by-epoch", "9") {
		t.Error("a number without a checkpoint is listed")
	}
}

// A checkpoint that is pruned is gone from listings and for stat, although the
// kernel may believe its name for a long time.
func TestPrunedIsGone(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\nretention: {mid_epoch: {keep_last: 1, when: epoch_end}}\n")
	const pruned = "checkpoint_epoch1_step4"
	inside, err := os.Open(m.path(pruned))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	if names, err := listNames(m.mnt); err != nil || !slices.Contains(names, pruned) || !exists(m.path(pruned, "config.json")) {
		t.Fatalf("before any commit there are %q, %v", names, err)
	}
	if err := writeAll(m.path("last_checkpoint"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not there for stat", func() bool { return !exists(m.path(pruned)) && !exists(m.path(pruned, "config.json")) })
	eventually(t, "it is not listed", func() bool {
		names, err := listNames(m.mnt)
		return err == nil && !slices.Contains(names, pruned)
	})
	if err := os.Mkdir(m.path(pruned), 0o755); err != nil {
		t.Errorf("its name is not free: %v", err)
	}
}

// A scan that removes what it finds, in small pieces, misses nothing; and one that
// only looks finds whatever was there all the time, once, while names come and go.
func TestScans(t *testing.T) {
	m := mountAt(t, t.TempDir(), t.TempDir(), "")
	dir := m.path("plain")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const files = 2000
	stays := func(i int) bool { return i%2 == 0 }
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var scan sync.WaitGroup
	for range 3 {
		scan.Go(func() {
			seen := map[string]int{}
			if err := inPieces(dir, func(name string) error { seen[name]++; return nil }); err != nil {
				t.Error(err)
			}
			for i := range files {
				if n := seen[fmt.Sprint(i)]; n > 1 || n == 0 && stays(i) {
					t.Errorf("%d was found %d times", i, n)
				}
			}
		})
	}
	for i := range files {
		if !stays(i) {
			if err := os.Remove(filepath.Join(dir, fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("new-", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	scan.Wait()
	if err := inPieces(dir, func(name string) error { return os.Remove(filepath.Join(dir, name)) }); err != nil {
		t.Fatal(err)
	}
	if left, err := listNames(dir); err != nil || len(left) > 0 {
		t.Errorf("a scan left %d names, %v", len(left), err)
	}
}

// inPieces calls f for each name of a directory, which it reads a few at a time.
func inPieces(dir string, f func(name string) error) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := make([]byte, 256)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return err
		}
		for b := buf[:n]; len(b) > 0; b = b[binary.NativeEndian.Uint16(b[16:]):] {
			name, _, _ := strings.Cut(string(b[19:binary.NativeEndian.Uint16(b[16:])]), "\x00")
			if name == "." || name == ".." {
				continue
			}
			if err := f(name); err != nil {
				return err
			}
		}
	}
}

// What the kernel knows it does not ask for: a second walk over committed
// checkpoints, with a stat of everything, sends no request for a listing or a name,
// and a third one none for attributes (P8).
func TestWarmWalkSendsNothing(t *testing.T) {
	m := mountOver(t, copyRun(t), "views: {listed: never}\n", "CKPTFS_TEST_DEBUG=1")
	checkpoints, err := filepath.Glob(m.path("checkpoint_*"))
	if err != nil || len(checkpoints) == 0 {
		t.Fatalf("%q, %v", checkpoints, err)
	}
	request := regexp.MustCompile(`rx \d+: ([A-Z]+)`)
	walk := func() map[string]int {
		before := read(t, m.log)
		for _, dir := range checkpoints {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if _, err := os.Lstat(filepath.Join(dir, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Lstat(dir); err != nil {
				t.Fatal(err)
			}
		}
		sent := map[string]int{}
		for _, found := range request.FindAllStringSubmatch(strings.TrimPrefix(read(t, m.log), before), -1) {
			sent[found[1]]++
		}
		return sent
	}
	first := walk()
	if first["READDIRPLUS"] == 0 {
		t.Fatalf("the first walk sent %v: the log is not understood", first)
	}
	for i, refused := range [][]string{
		{"OPENDIR", "RELEASEDIR", "READDIR", "READDIRPLUS", "LOOKUP"},
		{"OPENDIR", "RELEASEDIR", "READDIR", "READDIRPLUS", "LOOKUP", "GETATTR"},
	} {
		sent := walk()
		for _, op := range refused {
			if sent[op] > 1 { // one may be for the directory that is mounted, which others may change
				t.Errorf("walk %d sent %d %s", i+2, sent[op], op)
			}
		}
	}
}
