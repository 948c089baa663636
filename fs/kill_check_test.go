package fs_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"ckptfs/fs/store"
	"ckptfs/testdata/saves"
)

// watch loads what resume/ and latest/ of every run show over and over, until it is
// stopped; it returns how often that was a whole checkpoint.
func (k *killing) watch() (stop func() int) {
	done, loads := make(chan struct{}), make(chan int)
	go func() {
		n, runs := 0, slices.Sorted(maps.Keys(killRuns))
		for i := 0; ; i++ {
			select {
			case <-done:
				loads <- n
				return
			default:
			}
			run := runs[i/2%len(runs)]
			view := path.Join(run, []string{"resume", "latest"}[i%2])
			switch _, err := saves.LoadAs(killRuns[run], k.m.path(view)); {
			case err == nil:
				n++
			case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.ECONNABORTED),
				errors.Is(err, syscall.EIO) && !k.calm.Load(),                    // an open that was answered as ckptfs died
				strings.HasSuffix(err.Error(), "not pollable") && !k.calm.Load(): // Go's word for a mount that died while it asked
				time.Sleep(time.Millisecond) // it is down, or not up yet
			default:
				k.t.Errorf("while saves go on: %s: %v", view, err)
			}
		}
	}()
	return func() int { close(done); return <-loads }
}

// check looks at what a round has left. Nobody writes any more.
func (k *killing) check() {
	k.command("settle")
	k.checkLive()
	k.checkViews()
	k.checkGone()
	k.checkPlain()
	k.checkVersions()
	if k.m.passthrough && !strings.Contains(statusOf(k.t, k.m), `"passthrough": true`) {
		k.t.Error("passthrough was lost on the way")
	}
	if n := mountsOf(k.t, k.m.back); n != 1 {
		k.t.Errorf("%d mounts of the directory, want 1", n)
	}
	k.eventually("the descriptors of ckptfs are what they were", func() string {
		now := k.descriptors()
		for what, n := range now {
			if n > k.quiet[what] {
				return fmt.Sprintf("%d × %s, at first %d", n, what, k.quiet[what])
			}
		}
		return ""
	})
}

func (k *killing) command(line string) {
	if err := os.WriteFile(k.m.path(".ckptfs/control"), []byte(line), 0); err != nil {
		k.t.Errorf("command %s: %v", line, err)
	}
}

// eventually waits until there is nothing to complain of any more.
func (k *killing) eventually(what string, complaint func() string) {
	k.t.Helper()
	said := complaint()
	for end := time.Now().Add(killBound / 2); said != ""; said = complaint() {
		if time.Now().After(end) {
			k.t.Errorf("it never came to pass that %s: %s", what, said)
			return
		}
		time.Sleep(10 * time.Millisecond) // the pace of asking
	}
}

// checkLive is P3: what the real names show was closed by its writer, so it is
// whole, file by file. A file of several writers is not, when ckptfs or one of them
// died between their opens: those that opened it after that have closed it, and
// know nothing of the rest. No view shows it: its bytes are verified first.
func (k *killing) checkLive() {
	for run, pattern := range killRuns {
		list, err := os.ReadDir(k.m.path(run))
		if err != nil {
			k.t.Error(err)
		}
		for _, e := range list {
			switch {
			case run == "." && checkpointName(e.Name()):
				for _, name := range checkpointFiles {
					k.checkPublished(path.Join(e.Name(), name), pattern)
				}
			case run != "." && saves.InRun(e.Name()):
				k.checkPublished(path.Join(run, e.Name()), pattern)
			}
		}
	}
}

func (k *killing) checkPublished(file, pattern string) {
	b, err := os.ReadFile(k.m.path(file))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	name := path.Base(file)
	if err == nil {
		_, err = saves.TokenOf(name, b)
	}
	if err != nil && !(k.shared && name == sharedFile(saves.FilesOf(pattern))) {
		k.t.Errorf("a torn file was published: %s, %d bytes: %v", file, len(b), err)
		k.t.Logf("%s\n%s", statusOf(k.t, k.m), read(k.t, k.m.path(".ckptfs/events")))
	}
}

func checkpointName(name string) bool {
	return strings.HasPrefix(name, "checkpoint_") || strings.HasPrefix(strings.TrimPrefix(name, ".backup_"), "last_") ||
		name == "recovery_checkpoint" || name == "best_model"
}

// checkViews is P1 and P2: every view is whole, and none is behind what it was
// seen to show.
func (k *killing) checkViews() {
	for run, pattern := range killRuns {
		names := []string{"resume", "latest"}
		if run == "." {
			names = append(names, "best")
		}
		for _, name := range names {
			view := path.Join(run, name)
			n := k.checkView(view, pattern)
			if n < k.shown[view] {
				k.t.Errorf("%s shows save %d, and had shown %d", view, n, k.shown[view])
			}
			k.shown[view] = max(n, k.shown[view])
		}
		epochs, err := os.ReadDir(k.m.path(run, "by-epoch"))
		if err != nil {
			k.t.Error(err)
		}
		for _, e := range epochs {
			k.checkView(path.Join(run, "by-epoch", e.Name()), pattern)
		}
	}
}

// checkView loads a view, and returns the save that it shows.
func (k *killing) checkView(view, pattern string) (n int) {
	token, err := saves.LoadAs(pattern, k.m.path(view))
	if err != nil {
		k.t.Errorf("%s: %v", view, err)
	}
	n, _ = strconv.Atoi(token) // "" is the original run
	return n
}

// checkGone: once it is old, nothing is left of what was never completed, held
// back or deleted, nor of a commit.
func (k *killing) checkGone() {
	held, _ := fs.Glob(k.back.FS(), ".ckptfs/quarantine/*.json")
	k.held += len(held)
	k.eventually("what is old is gone", func() string {
		k.command("housekeep")
		dirs := []string{"staging", "journal", "quarantine"}
		if kernelForgets() { // else what a view showed stays until the memory is needed
			dirs = append(dirs, "trash")
		}
		for _, dir := range dirs {
			if left := k.list(".ckptfs/" + dir); len(left) > 0 {
				ls, _ := os.ReadFile(k.m.path(".ckptfs/ls.json")) // who is in use, and why what is kept is
				return fmt.Sprintf("%s holds %v; ls says %s", dir, left, ls)
			}
		}
		return ""
	})
	for _, name := range k.list(".ckptfs") {
		switch name {
		case "lock", "staging", "manifests", "papers", "files", "history", "trash", "quarantine", "journal":
		default:
			k.t.Errorf("left in the private directory: %s", name)
		}
	}
}

func (k *killing) list(dir string) (names []string) {
	d, err := k.back.Open(dir)
	if err != nil {
		k.t.Error(err)
		return nil
	}
	defer d.Close()
	names, err = d.Readdirnames(-1)
	if err != nil {
		k.t.Error(err)
	}
	return names
}

// checkPlain is P4: under natural names there is nothing but whole checkpoints.
func (k *killing) checkPlain() {
	for run, pattern := range killRuns {
		if run == "." {
			continue
		}
		if _, err := saves.LoadFrom(k.back, pattern, run); err != nil {
			k.t.Errorf("in the backing directory: %s: %v", run, err)
		}
	}
	for _, name := range k.list(".") {
		if !checkpointName(name) {
			continue
		}
		if _, err := saves.LoadFrom(k.back, saves.Overwrite, name); err != nil && k.inode(name) != 0 { // else it was pruned just now
			k.t.Errorf("in the backing directory: %s: %v", name, err)
		}
	}
}

// checkVersions: no byte of a committed version has changed since.
func (k *killing) checkVersions() {
	for _, name := range k.list(".ckptfs/manifests") {
		b, err := k.back.ReadFile(".ckptfs/manifests/" + name)
		var m store.Manifest
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			k.t.Errorf("manifest %s: %v", name, err)
			continue
		}
		dirs := []string{path.Join(m.Run, m.Name), ".ckptfs/history/" + m.ID}
		for _, home := range k.list(".ckptfs/files") { // of what lies in the run itself
			dirs = append(dirs, ".ckptfs/files/"+home)
		}
		for _, dir := range dirs {
			if k.inode(dir) == m.DirIno {
				k.checkHashes(dir, &m)
			}
		}
	}
}

// inode is that of a backing path, 0 when nothing is there.
func (k *killing) inode(p string) uint64 {
	st, err := k.back.Stat(p)
	if err != nil {
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Ino
}

func (k *killing) checkHashes(dir string, m *store.Manifest) {
	for _, f := range m.Files {
		b, err := k.back.ReadFile(path.Join(dir, f.Path))
		if errors.Is(err, os.ErrNotExist) && k.inode(dir) != m.DirIno {
			return // it was moved just now
		}
		sum := xxh3.Hash128(b).Bytes()
		if err != nil || f.XXH3 != "" && hex.EncodeToString(sum[:]) != f.XXH3 {
			k.t.Errorf("%s/%s is not what was committed as %s (%v)", dir, f.Path, m.ID, err)
		}
	}
}

// descriptors counts what the daemon has open, by what it is. Go and go-fuse keep
// a stock of pipes for splice(2), and a /dev/null to empty them into.
func (k *killing) descriptors() map[string]int {
	dir := fmt.Sprintf("/proc/%d/fd", k.m.cmd.Process.Pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		k.t.Error(err)
	}
	count := map[string]int{}
	for _, e := range list {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			if what, _, ok := strings.Cut(to, ":["); ok {
				to = what // pipe:[123] and socket:[123]
			}
			if to != "pipe" && to != os.DevNull {
				count[to]++
			}
		}
	}
	return count
}

// mountsOf counts the mounts that show a directory.
func mountsOf(t *testing.T, back string) (n int) {
	t.Helper()
	for line := range strings.Lines(read(t, "/proc/self/mounts")) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == back && f[2] == "fuse.ckptfs" {
			n++
		}
	}
	return n
}
