package store

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// What the disk said of a committed checkpoint is not asked again, and never shown
// when it is not true any more, whatever has changed it (P2, P8).
func TestDescribedIsTrue(t *testing.T) {
	mode := func(m uint32) Change { return Change{Mode: &m} }
	at := func(sec int64) Change { return Change{Mtime: &unix.Timespec{Sec: sec}} }
	const file = last + "/config.json"
	setattr := func(p string, ch Change) func(b *bench, p2 *process) error {
		return func(b *bench, _ *process) error {
			a, err := b.Lookup(p, 1)
			if err != nil {
				return err
			}
			_, err = b.SetAttr(p, a.Ident, nil, ch, Caller{})
			return err
		}
	}
	for name, change := range map[string]func(b *bench, p *process) error{
		"mode of the directory": setattr(last, mode(0o700)),
		"mode of a file":        setattr(file, mode(0o600)),
		"time of the directory": setattr(last, at(1000)),
		"time of a file":        setattr(file, at(1000)),
		"mode by descriptor": func(b *bench, _ *process) error {
			f, err := b.OpenFile(file, Ident{}, os.O_RDONLY, Caller{})
			if err != nil {
				return err
			}
			defer f.Release()
			_, err = b.SetAttr(file, f.Ident, f, mode(0o640), Caller{})
			return err
		},
		"an attribute": func(b *bench, _ *process) error {
			return b.Setxattr(file, Ident{}, "user.note", []byte("x"), 0, false)
		},
		"a new save": func(b *bench, p *process) error {
			return p.write(last+"/config.json", []byte(`{"a": 1}`))
		},
		"a commit": func(b *bench, p *process) error {
			b.must(p.save(last, content{"new", 3, 0}))
			b.pass(time.Minute)
			return nil
		},
		"a file from outside": func(b *bench, _ *process) error {
			err := os.Chmod(b.backing(file), 0o604)
			b.tell(file, false)
			return err
		},
		"the directory from outside": func(b *bench, _ *process) error {
			err := os.Chmod(b.backing(last), 0o704)
			b.tell(last, false)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := new(asked)
			inWatched(t, func(b *bench) {
				b.stop()
				b.over = func(below disk.Disk) disk.Disk { d.Disk = below; return d }
				b.start()
				b.pass(0)
				b.seedTold(map[string]content{last: {"old", 2, 0}})
				b.pass(0)
				for range 2 {
					b.tellsTheTruth("before")
				}
				d.calls()
				if _, err := b.ReadDirPlus(last); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Attr(last, Ident{}); err != nil {
					t.Fatal(err)
				}
				if stats, lists := d.calls(); stats+lists != 0 {
					t.Errorf("the disk was asked for %d names and %d lists that are known", stats, lists)
				}
				b.must(change(b, b.process()))
				b.tellsTheTruth("after")
			})
		})
	}
}

// tellsTheTruth holds what is said of a checkpoint against the disk.
func (b *bench) tellsTheTruth(when string) {
	b.t.Helper()
	list, err := b.ReadDirPlus(last)
	if err != nil {
		b.t.Fatal(err)
	}
	rec := b.at(last).rec
	rec.mu.RLock()
	defer rec.mu.RUnlock()
	lies, _ := rec.live()
	for _, e := range list {
		b.same(when, last+"/"+e.Name, e.Attr.Stat, lies+"/"+e.Name)
	}
	own, err := b.recordAttr(rec, "")
	b.must(err)
	b.same(when, last, own.Stat, lies)
}

func (b *bench) same(when, p string, said disk.Stat, lies string) {
	b.t.Helper()
	is, err := b.disk.Stat(lies)
	b.must(err)
	if said.Ino != is.Ino || said.Mode != is.Mode || said.Size != is.Size || said.Mtime != is.Mtime || said.Ctime != is.Ctime || said.UID != is.UID {
		b.t.Errorf("%s: %s is said to be %+v, and is %+v", when, p, said, is)
	}
}
