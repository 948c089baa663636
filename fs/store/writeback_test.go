package store

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// handedOn is a disk that writes down which files it was asked to write out.
type handedOn struct {
	disk.Disk
	mu    sync.Mutex
	files []*os.File
}

func (d *handedOn) WriteBack(f *os.File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files = append(d.files, f)
	d.Disk.WriteBack(f)
}

func (d *handedOn) times() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.files)
}

// What comes to a file of a save is handed to the disk while the file is open, in
// pieces, and the rest when it is closed. The descriptor that keeps errors of that
// from being forgotten lives as long as the save, and no longer.
func TestWriteBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.handsOn()
		p := b.process()
		b.must(p.mkdir("last_checkpoint"))
		files := content{"one", 1, 0}.files()
		for _, name := range checkpointFiles {
			b.must(p.write(path.Join("last_checkpoint", name), files[name]))
		}
		if n := d.times(); n != 0 {
			t.Errorf("small files were handed on %d times", n)
		}
		h, err := p.create("last_checkpoint/extra.bin")
		b.must(err)
		size := 0
		grow := func(more, want int) {
			t.Helper()
			_, err := h.Write(make([]byte, more))
			b.must(err)
			size += more
			b.pass(2 * writeBackSeldom)
			if n := d.times(); n != want {
				t.Errorf("at %d bytes it was handed on %d times, want %d", size, n, want)
			}
		}
		grow(writeBackPiece-writeBackLast, 0)
		grow(writeBackLast, 1)
		grow(writeBackLast/2, 1)
		grow(writeBackPiece, 2)
		grow(writeBackLast, 2)
		b.must(p.close(h))
		b.pass(0)
		if n := d.times(); n != 3 {
			t.Errorf("when it was closed it had been handed on %d times, want 3", n)
		}
		if !d.open() {
			t.Error("our descriptor was closed before the save was through")
		}
		p.exit(0)
		b.settle()
		b.pass(patience)
		if token, err := b.committed("last_checkpoint"); err != nil || token != "one" {
			t.Fatalf("committed is %q, %v", token, err)
		}
		if d.open() {
			t.Error("our descriptor is open when the save is through")
		}
	})
}

// A file that is deleted before its save is through leaves nothing that takes space.
func TestWriteBackOfWhatIsDeleted(t *testing.T) {
	inBubble(t, func(b *bench) {
		d := b.handsOn()
		p := b.process()
		b.must(p.mkdir("last_checkpoint"))
		for _, how := range []string{"removed", "replaced", "held back"} {
			q := b.process()
			h, err := q.create("last_checkpoint/pytorch_model.bin")
			b.must(err)
			_, err = h.Write(make([]byte, writeBackPiece))
			b.must(err)
			b.pass(writeBackSeldom)
			if how == "held back" {
				q.die()
				for _, h := range b.Quarantine() {
					b.must(b.dropHeld(h.ID))
				}
			} else {
				b.must(q.close(h))
			}
			switch how {
			case "removed":
				b.must(p.unlink("last_checkpoint/pytorch_model.bin"))
			case "replaced":
				b.must(p.write("last_checkpoint/pytorch_model.bin", []byte("x")))
			}
			b.pass(0)
			if d.open() {
				t.Errorf("%s: our descriptor is open", how)
			}
			d.files = nil
		}
	})
}

// open reports whether the first file that was handed on is still open.
func (d *handedOn) open() bool {
	_, err := d.files[0].Stat()
	return !errors.Is(err, os.ErrClosed)
}

// handsOn has the store work on a disk that writes down what it is handed.
func (b *bench) handsOn() *handedOn {
	var d *handedOn
	b.stop()
	b.over = func(under disk.Disk) disk.Disk {
		d = &handedOn{Disk: under}
		return d
	}
	b.start()
	return d
}

// A trainer that does not look at what fsync says does not get a checkpoint of
// bytes that are lost: no later sync would tell (P7).
func TestFailedFsync(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{"last_checkpoint": {"old", 1, 0}})
		p := b.process()
		files := content{"new", 2, 0}.files()
		for _, name := range checkpointFiles {
			h, err := p.create(path.Join("last_checkpoint", name))
			b.must(err)
			_, err = h.Write(files[name])
			b.must(err)
			if name == "pytorch_model.bin" {
				b.disk.choose(func(_ int, op disk.Op) error {
					if op == "fsync" {
						return unix.EIO
					}
					return nil
				})
			}
			if err := h.Sync(); (name == "pytorch_model.bin") != errors.Is(err, unix.EIO) {
				t.Errorf("fsync of %s: %v", name, err)
			}
			b.disk.choose(nil)
			b.must(p.close(h))
		}
		p.exit(0)
		b.settle()
		b.pass(time.Minute)
		if token, err := b.committed("last_checkpoint"); err != nil || token != "old" {
			t.Errorf("committed is %q, %v", token, err)
		}
		if i := slices.IndexFunc(b.Quarantine(), func(h Held) bool { return strings.Contains(h.Reason, "a write failed") }); i < 0 {
			t.Errorf("what is held back: %s", fmt.Sprint(b.Quarantine()))
		}
	})
}
