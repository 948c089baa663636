package store

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// What a writer does is his own until he closes the file.
func TestOthersSeeTheOldContentUntilClose(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		const file = last + "/config.json"
		p := b.process()
		h, err := p.create(file)
		b.must(err)
		_, err = h.Write([]byte(`{"token": "new"}`))
		b.must(err)
		if own, err := p.read(file); err != nil || string(own) != `{"token": "new"}` {
			t.Errorf("the writer reads %q, %v", own, err)
		}
		if got := b.fileToken(file); got != "old" {
			t.Errorf("while it is written, others read %q", got)
		}
		b.must(p.close(h))
		if got := b.fileToken(file); got != "new" {
			t.Errorf("closed, others read %q", got)
		}
		b.shows("closed", map[string]string{"resume": "old"})
	})
}

func TestListingsShowPublishedFilesOnly(t *testing.T) {
	inBubble(t, func(b *bench) {
		p, other := b.process(), b.process()
		b.must(p.mkdir(last))
		h, err := p.create(last + "/config.json")
		b.must(err)
		if p.has(last, "config.json") || other.has(last, "config.json") {
			t.Error("an unpublished file is listed")
		}
		if !p.exists(last+"/config.json") || other.exists(last+"/config.json") {
			t.Error("the writer has to find it, and nobody else")
		}
		if err := p.rmdir(last); !errors.Is(err, unix.ENOTEMPTY) {
			t.Errorf("rmdir with an unpublished file: %v", err)
		}
		b.must(p.close(h))
		if !p.has(last, "config.json") || !other.exists(last+"/config.json") {
			t.Error("a published file is not found")
		}
	})
}

// An unpublished file is one inode: whoever opens the name joins it.
func TestSecondWriterJoins(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(p *process) // how the first of the two ends
		want  string           // what others read in the end
	}{
		{"both close it", nil, "new"},
		{"one exits with 0, and the file is whole in the end", func(p *process) { p.exit(0) }, "new"},
		{"one is killed", func(p *process) { p.die() }, "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				const file = last + "/config.json"
				text := []byte(`{"token": "new"}`)
				p, q := b.process(), b.process()
				h, err := p.create(file)
				b.must(err)
				if _, err := q.openFile(file, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL); !errors.Is(err, unix.EEXIST) {
					t.Errorf("O_EXCL: %v", err)
				}
				g, err := q.openFile(file, unix.O_RDWR)
				b.must(err)
				if g.Ident != h.Ident {
					t.Fatalf("the second writer has inode %v, the first %v", g.Ident, h.Ident)
				}
				_, err = h.WriteAt(text[:8], 0)
				b.must(err)
				if c.first != nil {
					c.first(p)
				} else {
					b.must(p.close(h))
				}
				if got := b.fileToken(file); got != "old" {
					t.Errorf("one writer is left, and others read %q", got)
				}
				_, err = g.WriteAt(text[8:], 8)
				b.must(err)
				b.must(q.close(g))
				if got := b.fileToken(file); got != c.want {
					t.Errorf("others read %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestExclusiveCreate(t *testing.T) {
	inBubble(t, func(b *bench) {
		p, q := b.process(), b.process()
		b.must(p.mkdir(last))
		const excl = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL
		h, err := p.openFile(last+"/lock", excl)
		b.must(err)
		// The other does not find the name, and asks to create it all the same.
		if _, _, err := b.Create(last+"/lock", excl, 0o644, q.caller()); !errors.Is(err, unix.EEXIST) {
			t.Errorf("a second O_EXCL while it is written: %v", err)
		}
		b.must(p.close(h))
		if _, err := q.openFile(last+"/lock", excl); !errors.Is(err, unix.EEXIST) {
			t.Errorf("a second O_EXCL after it is closed: %v", err)
		}
	})
}

// Opens that keep the old content work on a copy of it.
func TestAppendAndInPlace(t *testing.T) {
	for name, flags := range map[string]int{"append": unix.O_WRONLY | unix.O_APPEND, "r+": unix.O_RDWR} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				b.must(b.process().write(last+"/log.txt", []byte("one\n")))
				b.settle()
				b.restart() // committed as a stranger, by the next settle at the latest
				b.settle()
				p := b.process()
				h, err := p.openFile(last+"/log.txt", flags)
				b.must(err)
				_, err = h.Write([]byte("two\n"))
				b.must(err)
				if got, err := b.process().read(last + "/log.txt"); err != nil || string(got) != "one\n" {
					t.Errorf("others read %q, %v", got, err)
				}
				b.must(p.close(h))
				want := map[string]string{"append": "one\ntwo\n", "r+": "two\n"}[name]
				if got, err := b.process().read(last + "/log.txt"); err != nil || string(got) != want {
					t.Errorf("closed, it holds %q, %v, want %q", got, err, want)
				}
			})
		})
	}
}

// A reader that has the old content open goes on reading it, through a commit.
func TestOpenFilesKeepTheirContent(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		reader := b.process()
		h, err := reader.openFile(last+"/config.json", unix.O_RDONLY)
		b.must(err)
		v := b.version("resume")
		b.must(b.process().save(last, content{"new", 2, 0}))
		b.settle()
		b.shows("committed", map[string]string{"resume": "new"})
		data := make([]byte, 1000)
		n, _ := h.ReadAt(data, 0)
		if token, err := tokenOf("config.json", data[:n]); err != nil || token != "old" {
			t.Errorf("the open file reads %q, %v", token, err)
		}
		b.must(reader.close(h))
		if token, err := b.loadVersion(v); err != nil || token != "old" {
			t.Errorf("the version that a process stands in is %q, %v", token, err)
		}
	})
}
