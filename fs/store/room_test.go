package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// tightDisk is a disk that others have filled: of what there was when it was
// filled, so many bytes are left, and what is removed comes back.
type tightDisk struct {
	disk.Disk
	dir  string
	size atomic.Int64 // 0: as the disk of the machine has it
}

const blocks = 1 << 30 // of one byte

// Statfs implements disk.Disk.
func (d *tightDisk) Statfs() (unix.Statfs_t, error) {
	size := d.size.Load()
	if size == 0 {
		return d.Disk.Statfs()
	}
	free := uint64(max(size-used(d.dir), 0))
	return unix.Statfs_t{Bsize: 1, Blocks: blocks, Bfree: free, Bavail: free}, nil
}

// used is what lies below a directory, a file with several names once.
func used(dir string) (n int64) {
	seen := map[uint64]bool{}
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // removed meanwhile
		}
		if info, err := e.Info(); err == nil {
			if ino := info.Sys().(*syscall.Stat_t).Ino; !seen[ino] {
				seen[ino] = true
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// leave fills the disk until n bytes more than the floor are free.
func (b *bench) leave(n int64) {
	b.disk.Disk.(*tightDisk).size.Store(used(b.dir) + floor + n)
}

// sizes of the saves of these tests differ by a few bytes, and so do the notes.
const about = 2 << 10

// left lists the tokens of what is left, by where it lies.
func (b *bench) whatIsLeft() []string {
	b.t.Helper()
	var out []string
	for _, t := range b.trashOldestFirst() {
		out = append(out, "trash "+b.tokenAt(t.path()))
	}
	for _, r := range b.runsSorted() {
		for _, rec := range b.recordsOf(r) {
			for _, v := range rec.history {
				out = append(out, "history "+b.tokenAt(v.where()))
			}
			if rec.natural {
				out = append(out, "checkpoint "+b.tokenAt(rec.path()))
			}
		}
	}
	slices.Sort(out)
	return out
}

func (b *bench) tokenAt(dir string) string {
	b.t.Helper()
	root, err := os.OpenRoot(filepath.Join(b.dir, dir))
	b.must(err)
	defer root.Close()
	token, err := loadWhole(root.ReadFile)
	b.must(err)
	return token
}

// Space is made before a save begins, of what matters least first, and no more
// than is needed (DESIGN: trash, history, what the policy allows).
func TestRoomBeforeASave(t *testing.T) {
	a, z := content{"a", 1, 1}, content{"z", 1, 3}
	everything := []string{"checkpoint a", "checkpoint two", "checkpoint z", "history one", "trash gone"}
	for _, c := range []struct {
		name   string
		config func(c *policy.Config)
		short  int // how many checkpoints do not fit
		gone   []string
		begin  func(p *process) error // nil: mkdir of a new checkpoint
	}{
		{name: "it fits"},
		{name: "one in the trash", short: 1, gone: []string{"trash gone"}},
		{name: "the history too", short: 2, gone: []string{"trash gone", "history one"}},
		{name: "checkpoints stay without min_free", short: 3, gone: []string{"trash gone", "history one"}},
		{name: "what the rules do not keep", short: 3, gone: []string{"trash gone", "history one", "checkpoint a"},
			config: func(c *policy.Config) {
				c.Retention.MidEpoch = policy.Rule{KeepLast: new(1), When: policy.WhenAlways}
			}},
		{name: "min_free", short: 3, gone: []string{"trash gone", "history one", "checkpoint a"},
			config: func(c *policy.Config) { c.Retention.MinFree = policy.Share{Bytes: floor + 1} }},
		{name: "never what matters", short: 9, gone: []string{"trash gone", "history one", "checkpoint a", "checkpoint z"},
			config: func(c *policy.Config) { c.Retention.MinFree = policy.Share{Bytes: floor + 1} }},
		{name: "dry_run", short: 3, gone: []string{"trash gone"},
			config: func(c *policy.Config) {
				c.Retention.DryRun, c.Retention.MinFree = true, policy.Share{Bytes: floor + 1}
			}},
		{name: "overwriting", short: 1, gone: []string{"trash gone"}, begin: func(p *process) error {
			h, err := p.create(last + "/config.json")
			if err != nil {
				return err
			}
			return p.close(h)
		}},
		{name: "a new file", short: 1, gone: []string{"trash gone"}, begin: func(p *process) error {
			return p.write(last+"/log.txt", nil)
		}},
		{name: "a temporary name", short: 1, gone: []string{"trash gone"}, begin: func(p *process) error { return p.mkdir(tmp) }},
		{name: "a log is no save", short: 1, begin: func(p *process) error { return p.mkdir("logs") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{numbered(a): a, "best_model": {"gone", 1, 2}})
				b.seed(map[string]content{last: {"one", 1, 2}})
				b.seed(map[string]content{numbered(z): z})
				b.seed(map[string]content{last: {"two", 2, 0}})
				size := b.version("resume").Size
				p := b.process()
				b.must(p.removeAll("best_model"))
				if c.config != nil {
					b.configure(c.config)
				}
				if got := b.whatIsLeft(); !slices.Equal(got, everything) {
					t.Fatalf("to begin with: %q", got)
				}
				b.leave(size + about - int64(c.short)*size)
				begin := c.begin
				if begin == nil {
					begin = func(p *process) error { return p.mkdir("checkpoint_epoch2_step1") }
				}
				b.must(begin(p))
				want := slices.DeleteFunc(slices.Clone(everything), func(s string) bool { return slices.Contains(c.gone, s) })
				if got := b.whatIsLeft(); !slices.Equal(got, want) {
					t.Errorf("left are %q, want %q", got, want)
				}
				b.check("room was made")
				hinted := strings.Contains(strings.Join(b.Status().Runs[0].Hints, "\n"), "space is short")
				if fits := c.short <= len(c.gone); hinted == fits && c.name != "a log is no save" {
					t.Errorf("it fits: %v; hints: %q", fits, b.Status().Runs[0].Hints)
				}
			})
		})
	}
}

// However short space is, these stay (P6 and DESIGN 5.7), and status says why.
func TestRoomNever(t *testing.T) {
	old := content{"old", 1, 0}
	for _, c := range []struct {
		name string
		do   func(b *bench, p *process)
		left []string
		why  string // of the hint
	}{
		{"the newest valid version of a run", func(b *bench, p *process) {
			b.must(p.removeAll(last))
		}, []string{"trash old"}, "the newest valid version of the run, which retention.protect_last keeps"},
		{"unless that is given up", func(b *bench, p *process) {
			b.configure(func(c *policy.Config) { c.Retention.ProtectLast = false })
			b.must(b.process().removeAll(last))
		}, nil, "nothing more to give"},
		{"of two in the trash goes what was saved first, and not what was deleted first", func(b *bench, p *process) {
			b.pass(time.Second)
			b.seed(map[string]content{numbered(content{"", 1, 1}): {"newer", 1, 1}})
			b.must(p.removeAll(numbered(content{"", 1, 1})))
			b.pass(time.Second)
			b.must(p.removeAll(last))
		}, []string{"trash newer"}, "retention.protect_last"},
		{"what a view shows, though it is deleted", func(b *bench, p *process) {
			b.seed(map[string]content{"best_model": {"best", 1, 0}})
			b.version("resume").Hold()
			b.must(p.removeAll(last))
		}, []string{"checkpoint best", "trash old"}, "1 deleted version(s) are still shown by a view"},
		{"what was renamed aside", func(b *bench, p *process) {
			b.must(p.rename(last, backup))
		}, []string{"checkpoint old"}, "nothing more to give"},
		{"also when the name aside is gone, and the successor is not committed", func(b *bench, p *process) {
			b.must(p.rename(last, backup))
			b.must(p.mkdir(last))
			b.must(p.removeAll(backup))
		}, []string{"aside old"}, "nothing more to give"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: old})
				c.do(b, b.process())
				b.leave(-64 << 10)
				p := b.process()
				b.must(p.mkdir("checkpoint_epoch9_step1"))
				got := b.whatIsLeft()
				if rec := b.locate(last).rec; rec != nil && rec.aside() && rec.inHistory(rec.committed) {
					got = append(got, "aside "+b.tokenAt(rec.committed.where()))
				}
				if !slices.Equal(got, c.left) {
					t.Errorf("left are %q, want %q", got, c.left)
				}
				hints := strings.Join(b.Status().Runs[0].Hints, "\n")
				if !strings.Contains(hints, "a save of checkpoint_epoch9_step1 needs") || !strings.Contains(hints, c.why) {
					t.Errorf("hints: %q, want one that says %q", hints, c.why)
				}
				b.leave(64 << 20)
				if hints := b.Status().Runs[0].Hints; len(hints) > 0 {
					t.Errorf("there is room, and the hints are %q", hints)
				}
			})
		})
	}
}

// With passthrough nobody hears of a failed write: while a file of a save is
// open, space is made before it runs out, and min_free is kept.
func TestRoomWhileSaving(t *testing.T) {
	const minFree = 32 << 20
	for _, c := range []struct {
		name    string
		minFree int64
		open    func(p *process) (*handle, error)
		left    int64 // over the floor, after the writer has written
		gone    []string
	}{
		{"far from the floor", 0, inSave, 100 << 20, nil},
		{"at the floor", 0, inSave, -1, []string{"trash gone"}},
		{"at the rate of the writer, soon at the floor", 0, inSave, 1 << 20, []string{"trash gone"}},
		{"min_free", minFree, inSave, minFree - floor - about, []string{"trash gone", "history one", "checkpoint a"}},
		{"under a temporary name", minFree, func(p *process) (*handle, error) {
			if err := p.mkdir(tmp); err != nil {
				return nil, err
			}
			return p.create(tmp + "/pytorch_model.bin")
		}, minFree - floor - about, []string{"trash gone", "history one", "checkpoint a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				a := content{"a", 1, 1}
				b.configure(func(cfg *policy.Config) { cfg.Retention.MinFree = policy.Share{Bytes: c.minFree} })
				b.seed(map[string]content{numbered(a): a, "best_model": {"gone", 1, 2}})
				b.seed(map[string]content{last: {"one", 1, 2}})
				b.seed(map[string]content{last: {"two", 2, 0}})
				p := b.process()
				b.must(p.removeAll("best_model"))
				b.pass(watchSeldom) // the disk of the machine is no longer looked at
				b.leave(128 << 20)
				h, err := c.open(p)
				b.must(err)
				before := b.whatIsLeft()
				b.pass(watchSeldom)
				if got := b.whatIsLeft(); !slices.Equal(got, before) {
					t.Fatalf("with room enough, left are %q", got)
				}
				b.leave(c.left)
				b.pass(watchSeldom)
				want := slices.DeleteFunc(before, func(s string) bool { return slices.Contains(c.gone, s) })
				got := b.whatIsLeft()
				if c.left < 0 || c.left == 1<<20 { // at least that: it depends on how much comes back
					if slices.Contains(got, "trash gone") {
						t.Errorf("left are %q", got)
					}
				} else if !slices.Equal(got, want) {
					t.Errorf("left are %q, want %q", got, want)
				}
				b.check("while saving")
				b.must(p.close(h))
				b.pass(watchSeldom)
				b.room.mu.Lock()
				if b.room.writing != 0 || b.room.watching {
					t.Errorf("nobody writes, and %d files are watched: %v", b.room.writing, b.room.watching)
				}
				b.room.mu.Unlock()
			})
		})
	}
}

func inSave(p *process) (*handle, error) { return p.create(last + "/pytorch_model.bin") }

// What fails for want of space is tried again when something could give way; the
// writer hears of it when nothing could (P7).
func TestRoomForWhatFailed(t *testing.T) {
	old := content{"old", 1, 0}
	for name, change := range map[string]func(p *process) error{
		"mkdir of a checkpoint": func(p *process) error { return p.mkdir("checkpoint_epoch2_step1") },
		"mkdir":                 func(p *process) error { return p.mkdir(last + "/d") },
		"create": func(p *process) error {
			h, err := p.create(last + "/log.txt")
			if err == nil {
				err = p.close(h)
			}
			return err
		},
		"open for writing": func(p *process) error {
			h, err := p.openFile(last+"/config.json", unix.O_WRONLY|unix.O_APPEND)
			if err == nil {
				err = p.close(h)
			}
			return err
		},
		"symlink": func(p *process) error {
			_, err := p.b.Symlink("x", last+"/l", p.caller())
			return err
		},
		"link": func(p *process) error {
			_, err := p.b.Link(last+"/config.json", Ident{}, last+"/l", p.caller())
			return err
		},
		"rename":        func(p *process) error { return p.rename(last+"/config.json", last+"/c") },
		"rename into":   func(p *process) error { return p.rename(tmp, "checkpoint_epoch2_step2") },
		"unlink":        func(p *process) error { return p.unlink(last + "/config.json") },
		"a plain mkdir": func(p *process) error { return p.mkdir("logs") },
	} {
		for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
			for _, gives := range []bool{true, false} {
				inBubble(t, func(b *bench) {
					b.seed(map[string]content{last: old, "best_model": {"gone", 1, 2}})
					p := b.process()
					b.must(p.save(tmp, content{"new", 2, 2}))
					if gives {
						b.must(p.removeAll("best_model"))
					}
					full := true
					b.disk.choose(func(_ int, op disk.Op) error {
						if op == "trash:empty" {
							full = false
						}
						if full && op != "trash:sync" && op != "trash:papers" {
							return errno
						}
						return nil
					})
					err := change(p)
					b.disk.choose(nil)
					if gives && err != nil {
						t.Errorf("%s, %v: %v, though the trash could give way", name, errno, err)
					}
					if !gives && !errors.Is(err, errno) {
						t.Errorf("%s: %v, want %v", name, err, errno)
					}
					b.shows(name, map[string]string{"resume": "old"})
					b.check(name)
					b.settle()
					b.must(p.save("checkpoint_epoch3_step1", content{"next", 3, 1}))
					b.settle()
					b.shows("saved again", map[string]string{"by-epoch/3": "next"})
				})
			}
		}
	}
}

// A quota that is used up lets btrfs refuse the rename to the trash. An earlier
// version then goes where it lies, and no crash on the way leaves a part of it
// that a view would show (P1).
func TestRoomWhereNothingCanBeRenamed(t *testing.T) {
	through := false
	for n := 0; !through && !t.Failed(); n++ {
		inBubble(t, func(b *bench) {
			b.seed(map[string]content{last: {"one", 1, 2}})
			b.seed(map[string]content{last: {"two", 2, 0}})
			b.shows("to begin with", map[string]string{"by-epoch/1": "one"})
			b.leave(-64 << 10)
			calls := 0
			b.disk.choose(func(_ int, op disk.Op) error {
				switch {
				case op == "history:trash":
					return unix.EDQUOT
				case op == "room:drop" || calls > n:
					if calls++; calls > n {
						return errCrashed
					}
				}
				return nil
			})
			b.process().mkdir("checkpoint_epoch3_step1") // fails after the crash
			through = calls <= n
			b.shows("dropped", map[string]string{"by-epoch/1": "", "resume": "two"})
			b.restart()
			b.check("mounted again")
			b.shows("mounted again", map[string]string{"resume": "two"})
		})
	}
}
