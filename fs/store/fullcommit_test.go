package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// A commit that finds no space for its manifest or its journal changes nothing.
// Who waits for it hears the errno, and once there is space it goes through by
// itself: nothing was lost (P2, P7).
func TestCommitOnAFullDisk(t *testing.T) {
	for _, step := range []disk.Op{"commit:manifest", "commit:journal"} {
		for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, errShortWrite} {
			t.Run(fmt.Sprintf("%s, %v", step, errno), func(t *testing.T) {
				inBubble(t, func(b *bench) {
					b.seed(map[string]content{last: {"old", 1, 0}})
					p := b.process()
					b.must(p.save(last, content{"new", 2, 0}))
					b.disk.choose(func(_ int, op disk.Op) error {
						if op != step {
							return nil
						}
						if errno == errShortWrite {
							return errShort
						}
						return errno
					})
					want := errno
					if errno == errShortWrite {
						want = unix.ENOSPC
					}
					if err := b.SyncDir(last); !errors.Is(err, want) {
						t.Errorf("fsync of the checkpoint: %v, want %v", err, want)
					}
					b.pass(3 * housekeeping)
					b.shows("full", map[string]string{"resume": "old"})
					b.check("full")
					b.disk.choose(nil)
					b.pass(housekeeping)
					b.shows("space is back", map[string]string{"resume": "new"})
					b.check("space is back")
					tokens := b.tokens()
					b.restart()
					b.sameTokens("mounted again", tokens)
				})
			})
		}
	}
}

// errShortWrite stands for errShort among errnos.
const errShortWrite = unix.Errno(0xfff)

// What a sync could not keep is not tried again: the second try would prove
// nothing.
func TestFailedSyncIsNotRepeated(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EIO} {
		for _, step := range []disk.Op{"commit:sync", "commit:parent"} {
			t.Run(fmt.Sprintf("%s, %v", step, errno), func(t *testing.T) {
				inBubble(t, func(b *bench) {
					b.seed(map[string]content{last: {"old", 1, 0}})
					p := b.process()
					b.must(p.save(last, content{"new", 2, 0}))
					failed := false
					b.disk.choose(func(_ int, op disk.Op) error {
						if op == step && !failed {
							failed = true
							return errno
						}
						return nil
					})
					b.settle()
					if !failed {
						t.Fatal("nothing was synced")
					}
					b.pass(time.Hour)
					b.shows("an hour later", map[string]string{"resume": "old"})
					b.check("an hour later")
					b.must(p.save(last, content{"next", 2, 1}))
					b.settle()
					b.shows("saved again", map[string]string{"resume": "next"})
				})
			})
		}
	}
}

// With passthrough nobody hears of a failed write. An opaque file that was
// written while the disk was nearly full is held back, also when there is space
// again before it is closed; what proves itself is published (DESIGN 8).
func TestWrittenWhileTheDiskWasFull(t *testing.T) {
	for _, c := range []struct {
		name, file  string
		before, now int64 // what is left over the floor while it is written, and when it is closed
		held        bool
	}{
		{"room all the time", "extra.bin", 1 << 20, 1 << 20, false},
		{"full when it is closed", "extra.bin", 1 << 20, -1, true},
		{"full before it is closed", "extra.bin", -1, 1 << 20, true},
		{"full, and the format proves it whole", "extra.pth", -1, -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.leave(64 << 20)
				h, err := p.create(last + "/" + c.file)
				b.must(err)
				data := content{"new", 2, 0}.files()["pytorch_model.bin"]
				if c.file == "extra.bin" {
					data = []byte("nobody can tell whether this is all of it")
				}
				_, err = h.Write(data)
				b.must(err)
				b.leave(c.before)
				b.pass(watchSeldom)
				b.leave(c.now)
				b.must(p.close(h))
				if held := len(b.Quarantine()) > 0; held != c.held {
					t.Errorf("held back: %v, want %v", held, c.held)
				}
				b.leave(64 << 20)
				b.must(p.write(last+"/"+c.file, data))
				b.must(p.save(last, content{"next", 2, 1}))
				p.exit(0)
				b.settle()
				b.shows("saved again", map[string]string{"resume": "next"})
			})
		})
	}
}

// A trainer that catches the exception of a failed write goes on with the other
// files. What was held back has left its name with what it held before; so the
// save is not committed until that is written again, or removed, or the user
// says so (P1).
func TestHeldBackHoldsTheSaveBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(b *bench, p *process)
		want  string
	}{
		{"the trainer goes on", func(b *bench, p *process) {}, "old"},
		{"it says that the save is complete", func(b *bench, p *process) { b.SyncDir(last) }, "old"},
		{"the file is written again", func(b *bench, p *process) { b.must(p.write(last+"/extra.bin", []byte("all of it"))) }, "new"},
		{"the file is removed", func(b *bench, p *process) { b.must(p.unlink(last + "/extra.bin")) }, "new"},
		{"another process goes on", func(b *bench, p *process) {
			b.must(b.process().write(last+"/config.json", content{"other", 2, 1}.files()["config.json"]))
		}, "old"},
		{"the user says so", func(b *bench, p *process) { b.must(b.Commit(last, false)) }, "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.write(last+"/extra.bin", []byte("of the old one")))
				p.exit(0)
				b.settle()
				p = b.process()
				files := content{"new", 2, 0}.files()
				b.leave(-64 << 10)
				b.must(p.write(last+"/extra.bin", []byte("half of it")))
				b.leave(64 << 20)
				for _, name := range checkpointFiles {
					b.must(p.write(last+"/"+name, files[name]))
				}
				if len(b.happened("quarantine")) == 0 { // it may have given way already
					t.Fatal("nothing was held back")
				}
				c.after(b, p)
				b.settle()
				b.shows(c.name, map[string]string{"resume": c.want})
				b.check(c.name)
			})
		})
	}
}
