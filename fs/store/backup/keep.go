package backup

import (
	"cmp"
	"context"
	"encoding/hex"
	"os"
	"path"
	"slices"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
)

// prune removes the oldest backups of the same kind and run that exceed Keep, but
// never the one that was just made or found, and none that is not as its record
// says: somebody has put something there.
func (b *job) prune(records []*record) error {
	if b.Keep <= 0 {
		return nil
	}
	var same []*record
	for _, r := range records {
		if r.Run == b.Run && r.Kind == b.Manifest.Kind && r.Entry != b.Entry {
			same = append(same, r)
		}
	}
	slices.SortFunc(same, func(a, c *record) int {
		return cmp.Or(c.CopiedAt.Compare(a.CopiedAt), cmp.Compare(c.Entry, a.Entry))
	})
	for _, r := range same[min(b.Keep-1, len(same)):] {
		if what := b.changed(r); what != "" {
			b.Note("%s is kept: %s, and that was not backed up", r.Entry, what)
			continue
		}
		if err := b.remove(r); err != nil {
			return err
		}
		b.Removed = append(b.Removed, r.Entry)
	}
	return nil
}

// changed says in what a backup differs from its record; "" for nothing.
func (b *job) changed(r *record) string {
	there, err := walk(b.dest, r.Entry)
	if err != nil {
		return err.Error()
	}
	known := map[string]store.ManifestFile{}
	for _, f := range r.Files {
		known[f.Path] = f
	}
	for _, e := range there {
		if !e.st.IsRegular() {
			continue
		}
		f, ok := known[e.rel]
		if !ok {
			return e.rel + " is in it"
		}
		if f.Size != e.st.Size || f.MtimeNS != e.st.Mtime.Nano() {
			return e.rel + " was changed"
		}
		delete(known, e.rel)
	}
	return ""
}

// verify reads a backup and says what is wrong with it; "" for nothing.
func (b *job) verify(ctx context.Context, r *record) (problem string, err error) {
	b.done = 0
	defer func() { b.done = 0 }()
	for _, f := range r.Files {
		file, err := b.dest.Open("", path.Join(r.Entry, f.Path), os.O_RDONLY, 0)
		if ignore(err, unix.ENOENT, unix.ENOTDIR) != nil {
			return "", err
		}
		if err != nil {
			return f.Path + " is missing", nil
		}
		sum := xxh3.New()
		st, err := b.dest.Fstat(file)
		if err == nil {
			err = b.read(ctx, file, sum, st.Size)
		}
		file.Close() // it was only read
		if err != nil {
			return "", err
		}
		if s := sum.Sum128().Bytes(); st.Size != f.Size || hex.EncodeToString(s[:]) != f.XXH3 {
			return f.Path + " is not what was copied", nil
		}
	}
	return "", nil
}

// remove takes a backup away: out of sight in one step, then for good.
func (b *job) remove(r *record) error {
	gone := path.Join(Private, r.Entry+deletedSuffix)
	if err := b.dest.Rename("backup:remove", r.Entry, gone, 0); err != nil {
		return err
	}
	if err := b.syncDir(""); err != nil { // a rename survives as a whole: one of its two directories is enough
		return err
	}
	if err := b.removeAll(recordPath(r.Entry)); err != nil {
		return err
	}
	return b.removeAll(gone)
}

// entry is something below a directory.
type entry struct {
	rel string
	st  disk.Stat
}

// walk lists what lies below a directory, directories before what is in them;
// nothing where there is none.
func walk(d disk.Disk, dir string) ([]entry, error) {
	var out []entry
	var visit func(rel string, depth int) error
	visit = func(rel string, depth int) error {
		if depth > disk.Deepest {
			return unix.ENAMETOOLONG
		}
		list, err := d.ReadDir(path.Join(dir, rel))
		if err != nil {
			return ignore(err, unix.ENOENT)
		}
		for _, e := range list {
			p := path.Join(rel, e.Name)
			st, err := d.Stat(path.Join(dir, p))
			if err != nil {
				return err
			}
			out = append(out, entry{p, st})
			if st.IsDir() && !st.Mounted {
				if err := visit(p, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, visit("", 0)
}

// removeAll removes what lies at a path of DEST, and below it.
func (b *job) removeAll(p string) error {
	st, err := b.dest.Stat(p)
	if err != nil {
		return ignore(err, unix.ENOENT)
	}
	if !st.IsDir() {
		return ignore(b.dest.Unlink("backup:remove", p), unix.ENOENT)
	}
	below, err := walk(b.dest, p)
	if err != nil {
		return err
	}
	for i := len(below) - 1; i >= 0; i-- {
		q := path.Join(p, below[i].rel)
		if below[i].st.IsDir() {
			err = b.dest.Rmdir("backup:remove", q)
		} else {
			err = b.dest.Unlink("backup:remove", q)
		}
		if ignore(err, unix.ENOENT) != nil {
			return err
		}
	}
	return ignore(b.dest.Rmdir("backup:remove", p), unix.ENOENT)
}
