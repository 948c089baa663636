package store

import (
	"archive/zip"
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/proc"
)

// How a file's writer can end, and what becomes of the file (P3). Each case
// overwrites one file of a committed checkpoint.
func TestEndings(t *testing.T) {
	whole := content{"new", 2, 0}.files()
	silent := func(b *bench, p *process) { b.procs.set(p.tgid, proc.Silent, 0) }
	for _, c := range []struct {
		name  string
		file  string // "" is pytorch_model.bin
		data  []byte // nil is a whole file
		end   func(t *testing.T, b *bench, p *process, h *handle)
		shown string // the token that everybody finds in the end
		held  string // part of the reason in quarantine, "" when nothing is held back
	}{
		{name: "closed by the program", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) { b.must(p.close(h)) }},
		{name: "killed", shown: "old", held: "killed by signal 9",
			end: func(t *testing.T, b *bench, p *process, h *handle) { p.die() }},
		{name: "exited with a status", shown: "old", held: "exited with status 3",
			end: func(t *testing.T, b *bench, p *process, h *handle) { p.exit(3) }},
		{name: "exited with 0, the file is whole", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) { p.exit(0) }},
		{name: "exited with 0, the file is torn", data: whole["pytorch_model.bin"][:5000], shown: "old",
			held: "exited without closing it",
			end:  func(t *testing.T, b *bench, p *process, h *handle) { p.exit(0) }},
		{name: "exited with 0, the format proves nothing", file: "notes.bin", data: []byte("whatever"), shown: "",
			held: "cannot prove it whole",
			end:  func(t *testing.T, b *bench, p *process, h *handle) { p.exit(0) }},
		{name: "nothing is known", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				b.procs.set(p.tgid, proc.Unknown, 0)
				b.must(p.close(h))
				if n := b.counters.UnknownEnds.Load(); n != 1 {
					t.Errorf("%d unknown ends are counted", n)
				}
			}},
		{name: "silent, then alive at the release", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				silent(b, p)
				b.must(h.Flush(p.tgid))
				if token := b.fileToken(h.rel()); token != "old" {
					t.Errorf("after the FLUSH it shows %q", token)
				}
				h.Release()
			}},
		{name: "silent, then dead at the release", shown: "old", held: "killed by signal 9",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				silent(b, p)
				b.must(h.Flush(p.tgid))
				b.procs.set(p.tgid, proc.Died, 9)
				h.Release()
			}},
		{name: "a child closes its copy", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				child := p.fork()
				b.must(child.close(h))
				if token := b.fileToken(h.rel()); token != "old" {
					t.Errorf("after the child's close it shows %q", token)
				}
				b.must(p.close(h))
			}},
		{name: "a child is killed with its copy", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				p.fork().die()
				b.must(p.close(h))
			}},
		{name: "the program closes, a child that has a copy is killed later", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				child := p.fork()
				b.must(p.close(h))
				if token := b.fileToken(h.rel()); token != "new" {
					t.Errorf("after the close it shows %q", token)
				}
				child.die()
			}},
		{name: "one of two descriptors is closed early, then the rest is written", shown: "new",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				b.must(h.Flush(p.tgid)) // the shell's, of cmd > file
				if token := b.fileToken(h.rel()); token != "new" {
					t.Errorf("after the first close it shows %q", token)
				}
				b.must(p.close(h))
			}},
		{name: "one of two descriptors is closed early, then the process is killed", shown: "old", held: "killed by signal 9",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				b.must(h.Flush(p.tgid))
				p.die()
			}},
		{name: "a write fails", shown: "old", held: "a write failed",
			end: func(t *testing.T, b *bench, p *process, h *handle) {
				h.Poison(unix.ENOSPC)
				b.must(p.close(h))
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{"last_checkpoint": {"old", 1, 0}})
				file, data := "pytorch_model.bin", whole["pytorch_model.bin"]
				if c.file != "" {
					file, data = c.file, c.data
				}
				if c.data != nil {
					data = c.data
				}
				file = path.Join("last_checkpoint", file)
				p := b.process()
				h, err := p.create(file)
				b.must(err)
				_, err = h.Write(data)
				b.must(err)
				c.end(t, b, p, h)
				if got := b.fileToken(file); got != c.shown {
					t.Errorf("the file is of save %q, want %q", got, c.shown)
				}
				held := b.Quarantine()
				switch {
				case c.held == "" && len(held) > 0:
					t.Errorf("held back: %+v", held)
				case c.held != "" && (len(held) != 1 || !strings.Contains(held[0].Reason, c.held) || held[0].Path != file):
					t.Errorf("quarantine is %+v, want %s because of %q", held, file, c.held)
				case c.held != "" && held[0].Size != int64(len(data)):
					t.Errorf("%d bytes are held back, %d were written", held[0].Size, len(data))
				}
				b.shows("ended", map[string]string{"resume": "old"}) // one file makes no checkpoint
				b.check("ended")
			})
		})
	}
}

// rel is the path of the file of a handle in the mount.
func (h *handle) rel() string { return path.Join(h.draft.save.rec.path(), h.draft.rel) }

// fileToken is the token of a live file as a stranger sees it; "" when it is
// not there.
func (b *bench) fileToken(name string) string {
	b.t.Helper()
	data, err := b.process().read(name)
	if isGone(err) {
		return ""
	}
	b.must(err)
	token, err := tokenOf(path.Base(name), data)
	b.must(err)
	return token
}

// An open that fails in the kernel after it was answered is released and was never
// closed: nothing is published, and nothing held back.
func TestOpenThatFailed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		h, err := p.create(last + "/pytorch_model.bin")
		b.must(err)
		h.Release()
		delete(p.open, h)
		if token := b.fileToken(last + "/pytorch_model.bin"); token != "old" {
			t.Errorf("the name shows %q", token)
		}
		if held := b.Quarantine(); len(held) > 0 {
			t.Errorf("held back: %+v", held)
		}
		b.must(p.save(last, content{"new", 2, 0}))
		b.settle()
		b.shows("the next save", map[string]string{"resume": "new"})
	})
}

// A file that was left open at an exit with 0 has the structure of a whole one
// when its last part was written and another was not: its bytes are verified
// before it is committed (P1).
func TestHoleAtExit(t *testing.T) {
	for _, hole := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			b.seed(map[string]content{last: {"old", 1, 0}})
			p, files := b.process(), content{"new", 2, 0}.files()
			b.must(p.write(last+"/config.json", files["config.json"]))
			b.must(p.write(last+"/training_state.pth", files["training_state.pth"]))
			data := files["pytorch_model.bin"]
			if hole {
				punch(t, data)
			}
			h, err := p.create(last + "/pytorch_model.bin")
			b.must(err)
			_, err = h.Write(data)
			b.must(err)
			p.exit(0)
			b.pass(time.Hour)
			b.shows("ended", map[string]string{"resume": map[bool]string{false: "new", true: "old"}[hole]})
		})
	}
}

// Ranks write parts of one file, and one of them dies before its turn: nobody
// hears of it, and the structure is whole (P1).
func TestPartOfADeadRank(t *testing.T) {
	for _, hole := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			b.seed(map[string]content{last: {"old", 1, 0}})
			p, files := b.process(), content{"new", 2, 0}.files()
			b.must(p.write(last+"/config.json", files["config.json"]))
			b.must(p.write(last+"/training_state.pth", files["training_state.pth"]))
			data := files["pytorch_model.bin"]
			whole := bytes.Clone(data)
			punch(t, data)
			b.must(p.write(last+"/pytorch_model.bin", data)) // the first rank's part
			other := b.process()
			h, err := other.openFile(last+"/pytorch_model.bin", unix.O_RDWR)
			b.must(err)
			if !hole { // else this one had another part, and its own is missing
				_, err = h.WriteAt(whole, 0)
				b.must(err)
			}
			b.must(other.close(h))
			b.pass(time.Hour)
			b.shows("settled", map[string]string{"resume": map[bool]string{false: "new", true: "old"}[hole]})
		})
	}
}

// punch zeroes the largest record of a zip.
func punch(t *testing.T, data []byte) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	largest := slices.MaxFunc(r.File, func(a, b *zip.File) int {
		return cmp.Compare(a.UncompressedSize64, b.UncompressedSize64)
	})
	off, err := largest.DataOffset()
	if err != nil {
		t.Fatal(err)
	}
	clear(data[off : off+int64(largest.CompressedSize64)])
}
