package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What is open can be written with a user's rights, and only that: paths are
// refused. No thread keeps them, whatever f does.
func TestApart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	const nobody = 65534
	before := credentials(t)
	if len(before) != 1 {
		t.Fatalf("the threads differ from the start: %v", before)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			f, err := os.CreateTemp(dir, "")
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			defer func() {
				if recover() == nil {
					t.Error("a panic was swallowed")
				}
			}()
			Apart(func() {
				if err := Become(nobody, nobody); err != nil {
					t.Error(err)
				}
				if _, err := unix.Pwrite(int(f.Fd()), []byte("x"), 0); err != nil {
					t.Errorf("write to an open file: %v", err)
				}
				if _, err := os.ReadFile(f.Name()); !errors.Is(err, unix.EACCES) {
					t.Errorf("open by path: %v, want EACCES", err)
				}
				if caps, err := capabilities(); err != nil || caps[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0 {
					t.Errorf("capabilities %+v, %v", caps, err)
				}
				panic("goes on in the caller")
			})
		})
	}
	all.Wait()
	for set := range credentials(t) {
		if !before[set] {
			t.Errorf("a thread has other credentials now: %s", set)
		}
	}
}

// credentials are the different ones that the threads of this process have.
func credentials(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		var set []string
		for line := range bytes.Lines(b) {
			for _, field := range []string{"Uid:", "Gid:", "CapEff:", "CapPrm:"} {
				if s := string(line); strings.HasPrefix(s, field) {
					set = append(set, strings.Join(strings.Fields(s), " "))
				}
			}
		}
		sets[strings.Join(set, ", ")] = true
	}
	return sets
}

// Apart within Apart stays on the thread, and what the inner one has become is over
// when it ends.
func TestApartWithin(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	before := fsIDs()
	Apart(func() {
		tid := unix.Gettid()
		if err := Become(1001, 1001); err != nil {
			t.Error(err)
			return
		}
		err := As(1002, 1002, func() error {
			if got := unix.Gettid(); got != tid {
				t.Errorf("the inner one runs on thread %d, not on %d", got, tid)
			}
			if got := fsIDs(); got != [2]int{1002, 1002} {
				t.Errorf("the inner one is %v", got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if got := fsIDs(); got != [2]int{1001, 1001} || unix.Gettid() != tid {
			t.Errorf("after the inner one: %v on thread %d", got, unix.Gettid())
		}
	})
	if got := fsIDs(); got != before {
		t.Errorf("in the end: %v, want %v", got, before)
	}
}
