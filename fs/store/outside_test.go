package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// watcher is a disk.Watcher that a test feeds.
type watcher struct {
	events chan disk.Event

	mu      sync.Mutex
	watched map[string]bool // by path: with content
	most    int             // of directories; 0 is no limit
}

func newWatcher() *watcher {
	return &watcher{events: make(chan disk.Event), watched: map[string]bool{}}
}

func (w *watcher) Watch(p string, content bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.watched[p]; !known && w.most > 0 && len(w.watched) >= w.most {
		return unix.ENOSPC
	}
	w.watched[p] = content
	return nil
}

func (w *watcher) Unwatch(p string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := range w.watched {
		if at == p || strings.HasPrefix(at, p+"/") {
			delete(w.watched, at)
		}
	}
}

func (w *watcher) Events() <-chan disk.Event { return w.events }

func (w *watcher) Close() error { return nil }

func (w *watcher) watches(p string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.watched[p]
	return ok
}

// inWatched is inBubble with a watcher.
func inWatched(t *testing.T, f func(b *bench)) {
	t.Helper()
	inBubble(t, func(b *bench) {
		b.stop()
		b.watches = true
		b.start()
		f(b)
	})
}

// tell reports a change, as the kernel does after it was made; what is not
// watched is not told.
func (b *bench) tell(p string, wrote bool) {
	b.t.Helper()
	dir, name := split(p)
	if b.watcher.watches(dir) {
		b.watcher.events <- disk.Event{Dir: dir, Name: name, Wrote: wrote}
	}
	b.pass(0)
}

// seedTold is seed, with the events of its commits.
func (b *bench) seedTold(saves map[string]content) {
	b.t.Helper()
	b.seed(saves)
	for name := range saves {
		b.tell(name, false)
	}
}

func (b *bench) backing(p string) string { return filepath.Join(b.dir, p) }

// A committed checkpoint that is changed from outside is resolved by no view from
// then on (P1), until it is found whole again.
func TestChangesFromOutside(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bench) error
		at     string // the path that the event names
		wrote  bool
		then   string // what resume shows in the end
	}{
		{"torn", func(b *bench) error { return os.Truncate(b.backing(last+"/pytorch_model.bin"), 100) },
			last + "/pytorch_model.bin", true, "spare"},
		{"a file is removed", func(b *bench) error { return os.Remove(b.backing(last + "/config.json")) },
			last + "/config.json", false, "spare"},
		{"a file is added", func(b *bench) error { return os.WriteFile(b.backing(last+"/log.txt"), nil, 0o644) },
			last + "/log.txt", false, "old"},
		{"a byte is changed, and the time set back", func(b *bench) error {
			p := b.backing(last + "/config.json")
			st, err := os.Stat(p)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(p, []byte(strings.Replace(string(data), "old", "odd", 1)), 0), os.Chtimes(p, st.ModTime(), st.ModTime()))
		}, last + "/config.json", true, ""},
		{"the name is removed", func(b *bench) error { return os.RemoveAll(b.backing(last)) }, last, false, "spare"},
		{"the name is renamed", func(b *bench) error { return os.Rename(b.backing(last), b.backing("elsewhere")) }, last, false, "spare"},
		{"another directory takes the name", func(b *bench) error {
			return errors.Join(os.Rename(b.backing(last), b.backing("elsewhere")), os.CopyFS(b.backing(last), os.DirFS(b.backing("recovery_checkpoint"))))
		}, last, false, "spare"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWatched(t, func(b *bench) {
				b.seedTold(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 2, 0}})
				v := b.version("resume")
				b.must(c.change(b))
				b.tell(c.at, c.wrote)
				if b.version("resume") == v {
					t.Error("the view still shows what was changed")
				}
				if v.where() != "" {
					t.Error("who stands in the view is shown a mix")
				}
				b.settle()
				if c.then != "" {
					b.shows("verified", map[string]string{"resume": c.then})
				} else if v := b.version("resume"); v == nil || v.Name != last || !v.Adopted {
					t.Errorf("verified, it is %+v", v)
				}
				if v := b.version("resume"); v != nil && slices.ContainsFunc(v.Files, func(f ManifestFile) bool { return f.XXH3 == "" }) {
					t.Error("what was adopted has no hashes")
				}
				if c.then == "" {
					return // the test's own content is a mix now
				}
				b.must(b.process().save(last, content{"new", 3, 0}))
				b.settle()
				b.shows("saved", map[string]string{"resume": "new"})
				b.check("saved")
				b.restart()
				b.shows("mounted again", map[string]string{"resume": "new"})
			})
		})
	}
}

// Our own changes are no changes from outside.
func TestOwnChangesAreNotFromOutside(t *testing.T) {
	inWatched(t, func(b *bench) {
		b.seedTold(map[string]content{last: {"old", 1, 0}})
		was := b.version("resume").ID
		p := b.process()
		tellAll := func() {
			for _, name := range append([]string{""}, checkpointFiles...) {
				b.tell(strings.TrimSuffix(last+"/"+name, "/"), false)
			}
		}
		a, err := p.stat(last + "/config.json")
		b.must(err)
		when := unix.Timespec{Sec: 1_700_000_000}
		_, err = b.SetAttr(last+"/config.json", a.Ident, nil, Change{Mode: new(uint32(0o600)), Mtime: &when}, p.caller())
		b.must(err)
		tellAll()
		h, err := p.openFile(last+"/config.json", unix.O_RDONLY)
		b.must(err)
		when.Sec++
		_, err = b.SetAttr(last+"/config.json", a.Ident, h.File, Change{Mtime: &when}, p.caller())
		b.must(err)
		b.must(p.close(h))
		tellAll()
		if v := b.version("resume"); v == nil || v.ID != was {
			t.Errorf("after utimes it is %+v", v)
		}
		for i, name := range []string{"two", "three"} {
			b.must(p.save(last, content{name, byte(2 + i), 0}))
			tellAll()
			b.settle()
			tellAll()
		}
		b.must(p.rename(last, ".backup_"+last))
		b.tell(last, false)
		b.tell(".backup_"+last, false)
		b.shows("renamed aside", map[string]string{"resume": "three"})
		b.must(p.save(last, content{"four", 4, 0}))
		b.settle()
		tellAll()
		b.must(p.removeAll(".backup_" + last))
		b.tell(".backup_"+last, false)
		b.shows("in the end", map[string]string{"resume": "four"})
		for _, what := range []string{"changed-outside", "vanished", "adopt"} {
			if got := b.happened(what); len(got) > 0 {
				t.Errorf("%s: %q", what, got)
			}
		}
	})
}

// A checkpoint that appears from outside is adopted when it is whole, quiet and
// nobody writes to it any more; a run that appears is found.
func TestAppearsFromOutside(t *testing.T) {
	for _, run := range []string{"", "codebert/"} {
		inWatched(t, func(b *bench) {
			b.seedTold(map[string]content{"recovery_checkpoint": {"spare", 1, 1}})
			dir := run + last
			if run != "" {
				b.must(os.Mkdir(b.backing("codebert"), 0o755))
				b.tell("codebert", false)
			}
			b.must(os.Mkdir(b.backing(dir), 0o755))
			b.tell(dir, false)
			files := content{"new", 2, 0}.files()
			for _, name := range checkpointFiles {
				b.pass(5 * time.Second)
				b.shows("half of it", map[string]string{run + "resume": map[string]string{"": "spare"}[run]})
				b.must(os.WriteFile(b.backing(dir+"/"+name), files[name], 0o644))
				b.tell(dir+"/"+name, false)
			}
			f, err := os.OpenFile(b.backing(dir+"/config.json"), os.O_RDWR, 0)
			b.must(err)
			b.pass(time.Minute)
			b.shows("a file is open", map[string]string{run + "resume": map[string]string{"": "spare"}[run]})
			b.must(f.Close())
			b.settle()
			b.shows("adopted", map[string]string{run + "resume": "new"})
			if p := b.process(); !p.exists(dir + "/config.json") {
				t.Error("it is not in the live tree")
			}
			if !b.watcher.watches(dir) {
				t.Error("it is not watched")
			}
		})
	}
}

// When events are lost, everything is looked at.
func TestLostEvents(t *testing.T) {
	inWatched(t, func(b *bench) {
		b.seedTold(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 2, 0}})
		b.must(os.Truncate(b.backing(last+"/pytorch_model.bin"), 100))
		b.must(os.CopyFS(b.backing("best_model"), os.DirFS(b.backing("recovery_checkpoint"))))
		b.watcher.events <- disk.Event{Lost: true}
		b.settle()
		b.shows("looked at", map[string]string{"resume": "spare", "best": "spare"})
	})
}

// Where the user may watch no more directories, they are looked at once a minute,
// and status says so.
func TestTooManyWatches(t *testing.T) {
	inWatched(t, func(b *bench) {
		b.watcher.mu.Lock()
		b.watcher.most = 1
		b.watcher.mu.Unlock()
		b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 2, 0}})
		b.tell(last, false)
		if why := b.Status().Unwatched; !strings.Contains(why, "max_user_watches") {
			t.Errorf("status says %q", why)
		}
		b.must(os.Remove(b.backing(last + "/config.json")))
		b.pass(2 * housekeeping)
		b.shows("two minutes later", map[string]string{"resume": "spare"})
		if row := b.row(last); row.State != policy.Invalid {
			t.Errorf("it is listed as %+v", row)
		}
	})
}

// An open save goes on, whatever happens to what it was cloned from.
func TestOutsideWhileSaving(t *testing.T) {
	for name, change := range map[string]func(b *bench) error{
		"written to": func(b *bench) error { return os.Truncate(b.backing(last+"/pytorch_model.bin"), 100) },
		"removed":    func(b *bench) error { return os.RemoveAll(b.backing(last)) },
	} {
		t.Run(name, func(t *testing.T) {
			inWatched(t, func(b *bench) {
				b.seedTold(map[string]content{last: {"older", 1, 0}})
				b.seedTold(map[string]content{last: {"old", 2, 0}})
				p := b.process()
				files := content{"new", 3, 0}.files()
				b.must(p.write(last+"/config.json", files["config.json"]))
				b.must(change(b))
				b.tell(last, true)
				b.tell(last+"/pytorch_model.bin", true)
				b.settle()
				if err := b.checkViews(); err != nil {
					t.Error(err)
				}
				b.must(p.write(last+"/pytorch_model.bin", files["pytorch_model.bin"]))
				b.must(p.write(last+"/training_state.pth", files["training_state.pth"]))
				b.settle()
				b.shows("saved", map[string]string{"resume": "new"})
				b.check("saved")
			})
		})
	}
}
