package store

import (
	"errors"
	"fmt"
	"path"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// checkListings holds every listing of the live tree against look-ups of the
// names in it, by somebody who has nothing open.
func (b *bench) checkListings() (err error) {
	for range standingTries {
		asOf := b.generation.Load()
		if err = b.listsWhatIsThere(); err == nil || b.generation.Load() == asOf {
			break
		}
	}
	return err
}

func (b *bench) listsWhatIsThere() error {
	var errs []error
	var visit func(dir string)
	visit = func(dir string) {
		list, err := b.ReadDirPlus(dir)
		if err != nil {
			errs = append(errs, ignore(err, unix.ENOENT))
			return
		}
		names, err := b.ReadDir(dir)
		if err != nil || len(names) != len(list) {
			errs = append(errs, fmt.Errorf("%q: %d names with attributes, %d without, %w", dir, len(list), len(names), err))
			return
		}
		for i, e := range list {
			p := path.Join(dir, e.Name)
			if e.Dirent != names[i] {
				errs = append(errs, fmt.Errorf("%s: listed as %+v, with attributes as %+v", p, names[i], e.Dirent))
			}
			a, err := b.Lookup(p, 1)
			if !e.Known {
				continue
			}
			a.Atime, e.Attr.Atime = unix.Timespec{}, unix.Timespec{} // a listing is an access
			if err != nil || a != e.Attr {
				errs = append(errs, fmt.Errorf("%s: listed as %+v, looked up as %+v, %w", p, e.Attr, a, err))
			}
			if a.IsDir() {
				visit(p)
			}
		}
	}
	visit("")
	return errors.Join(errs...)
}

func (b *bench) checkLists(when string) {
	b.t.Helper()
	if err := b.checkListings(); err != nil {
		b.t.Errorf("%s: %v", when, err)
	}
}

// A listing with attributes says what a look-up of each name says, whatever state
// it is in.
func TestReadDirPlus(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.must(b.process().mkdir("sub"))
		b.seed(map[string]content{stepOne: {"one", 1, 1}, last: {"last", 1, 0}, "sub/" + last: {"sub", 1, 0}})
		p := b.process()
		b.must(p.symlink(stepOne, "best_model"))
		b.must(p.mkdir("logs"))
		b.must(p.write("logs/events", []byte("log")))
		b.checkLists("committed")

		b.must(p.mkdir(stepTwo))
		b.must(p.write(stepTwo+"/config.json", []byte("{}"))) // staged only
		h, err := p.create(last + "/model.safetensors")
		b.must(err)
		b.checkLists("saved")
		list, err := b.ReadDirPlus(last)
		b.must(err)
		for _, e := range list {
			if want := e.Name != "model.safetensors"; e.Known != want || !e.Attr.Staged {
				t.Errorf("%s, which is being written or lies beside what is, is listed as %+v", e.Name, e)
			}
		}
		b.must(p.close(h))
		b.checkLists("closed")
		b.must(p.rename(stepOne, ".backup_"+stepOne))
		b.checkLists("renamed aside")
		b.must(p.removeAll("sub"))
		b.checkLists("removed")
	})
}

// asked counts what a disk is asked.
type asked struct {
	disk.Disk
	stats, lists, opens atomic.Int64
}

func (d *asked) Stat(p string) (disk.Stat, error) {
	d.stats.Add(1)
	return d.Disk.Stat(p)
}

func (d *asked) ReadDir(p string) ([]disk.Entry, error) {
	d.lists.Add(1)
	return d.Disk.ReadDir(p)
}

func (d *asked) Describe(p string) ([]disk.Described, error) {
	d.lists.Add(1)
	return d.Disk.Describe(p)
}

func (d *asked) calls() (stats, lists int64) { return d.stats.Swap(0), d.lists.Swap(0) }

// A listing costs the disk one walk, however many names there are.
func TestReadDirPlusWalksOnce(t *testing.T) {
	d := new(asked)
	inBubble(t, func(b *bench) {
		b.stop()
		b.over = func(below disk.Disk) disk.Disk { d.Disk = below; return d }
		b.start()
		b.seed(map[string]content{stepOne: {"one", 1, 1}, last: {"last", 1, 0}})
		v := b.version("latest")
		d.calls()
		for name, list := range map[string]func() ([]DirentPlus, error){
			"a checkpoint": func() ([]DirentPlus, error) { return b.ReadDirPlus(last) },
			"a view":       func() ([]DirentPlus, error) { return b.VersionListPlus(v, "") },
		} {
			if got, err := list(); err != nil || len(got) != len(checkpointFiles) {
				t.Errorf("%s: %d entries, %v", name, len(got), err)
			}
			if stats, lists := d.calls(); stats != 0 || lists != 1 {
				t.Errorf("%s: the disk was asked for %d names and %d lists, want one list", name, stats, lists)
			}
		}
	})
}
