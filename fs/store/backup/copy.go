package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
	"ckptfs/layout/format"
)

// copyTree makes or completes the copy at a path of DEST, durably.
func (b *job) copyTree(ctx context.Context, to string) error {
	if err := b.fits(to); err != nil {
		return err
	}
	if err := b.makeDir(to); err != nil {
		return err
	}
	dirs, links, err := b.others()
	if err != nil {
		return err
	}
	if err := b.removeStrays(to, dirs, links); err != nil {
		return err
	}
	for _, d := range dirs {
		if err := b.makeDir(path.Join(to, d.rel)); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := b.copyLink(l.rel, path.Join(to, l.rel)); err != nil {
			return err
		}
	}
	b.files = nil
	for _, f := range b.Manifest.Files {
		if err := b.copyFile(ctx, f, path.Join(to, f.Path)); err != nil {
			return err
		}
	}
	// Times last, from the inside out: making an entry changes its directory's.
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := b.finishDir(path.Join(to, dirs[i].rel), &dirs[i].st); err != nil {
			return err
		}
	}
	st, err := b.Tree.Stat("")
	if err != nil {
		return err
	}
	if b.Manifest.Entry != "" { // its directory is ours, and private
		st.Mode = st.Mode&^0o777 | 0o755
	}
	return b.finishDir(to, &st)
}

// others lists what a version has besides its files: directories and symbolic
// links. That of a checkpoint that is files has none, and may lie among others.
func (b *job) others() (dirs, links []entry, err error) {
	if b.Manifest.Entry != "" {
		return nil, nil, nil
	}
	all, err := walk(b.Tree, "")
	for _, e := range all {
		switch {
		case e.st.IsDir():
			dirs = append(dirs, e)
		case e.st.IsSymlink():
			links = append(links, e)
		}
	}
	return dirs, links, err
}

// removeStrays removes from a copy that was begun what the version does not have:
// it is of an earlier version under the same name.
func (b *job) removeStrays(to string, dirs, links []entry) error {
	wanted := map[string]bool{}
	for _, e := range append(dirs[:len(dirs):len(dirs)], links...) {
		wanted[e.rel] = true
	}
	for _, f := range b.Manifest.Files {
		wanted[f.Path] = true
	}
	there, err := walk(b.dest, to)
	if err != nil {
		return err
	}
	for _, e := range there {
		if !wanted[e.rel] {
			if err := b.removeAll(path.Join(to, e.rel)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *job) makeDir(p string) error {
	err := b.dest.Mkdir("backup:mkdir", p, 0o700)
	if errors.Is(err, unix.EEXIST) {
		if st, e := b.dest.Stat(p); e != nil || st.IsDir() {
			return e
		}
	}
	return err
}

// finishDir gives a directory what the original has, and makes its names durable.
func (b *job) finishDir(p string, st *disk.Stat) error {
	err := b.dest.Chown("backup:meta", p, int(st.UID), int(st.GID))
	if err = unsupported(err); err == nil {
		err = unsupported(b.dest.Chmod("backup:meta", p, st.Mode&0o7777))
	}
	if err == nil {
		err = unsupported(b.dest.Chtimes("backup:meta", p, st.Atime, st.Mtime))
	}
	if err != nil {
		return err
	}
	return b.syncDir(p)
}

func (b *job) copyLink(from, to string) error {
	target, err := b.Tree.Readlink(from)
	if err != nil {
		return err
	}
	err = b.dest.Symlink("backup:link", target, to)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if was, err := b.dest.Readlink(to); err == nil && was == target {
		return nil
	}
	if err := b.removeAll(to); err != nil {
		return err
	}
	return b.dest.Symlink("backup:link", target, to)
}

// copyFile makes or completes the copy of one file, and compares all of it with
// the manifest. What an earlier attempt has copied is read again; what of it is
// not as it should be is copied anew.
func (b *job) copyFile(ctx context.Context, f store.ManifestFile, to string) error {
	from, err := b.Tree.Open("", f.Path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := b.Tree.Fstat(from)
	if err != nil {
		return err
	}
	if st.Size != f.Size {
		return fmt.Errorf("%s of %s has %d bytes, and had %d when it was committed: %w", f.Path, b.Manifest.Name, st.Size, f.Size, ErrDamaged)
	}
	out, err := b.dest.Open("backup:copy", to, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return err
	}
	err = b.fill(ctx, f, from, out)
	if err == nil {
		err = b.finishFile(out, &st)
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if errors.Is(err, ErrDamaged) {
		return errors.Join(err, b.removeAll(to))
	}
	if err != nil {
		return err
	}
	copied, err := b.dest.Stat(to)
	if err != nil {
		return err
	}
	f.Ino, f.MtimeNS = 0, copied.Mtime.Nano()
	if f.XXH3 == "" {
		f.XXH3 = b.hashed
	}
	b.files = append(b.files, f)
	return nil
}

// fill copies what is missing of a file; what is there is believed only as far as
// the hash of the whole says.
func (b *job) fill(ctx context.Context, f store.ManifestFile, from, out *os.File) error {
	st, err := b.dest.Fstat(out)
	if err != nil {
		return err
	}
	begun := st.Size
	if f.XXH3 == "" || begun > f.Size {
		begun = 0 // nothing tells whether it is right
	}
	before := b.done
	for {
		sum := xxh3.New()
		if err := b.read(ctx, out, sum, begun); err != nil {
			return err
		}
		if err := b.pour(ctx, from, out, sum, begun, f.Size); err != nil {
			return err
		}
		s := sum.Sum128().Bytes()
		b.hashed = hex.EncodeToString(s[:])
		if f.XXH3 == "" || b.hashed == f.XXH3 {
			b.Resumed += begun
			break
		}
		if begun == 0 {
			return fmt.Errorf("%s of %s is not what was committed: %w", f.Path, b.Manifest.Name, ErrDamaged)
		}
		begun, b.done = 0, before
	}
	if f.XXH3 != "" {
		return nil
	}
	if r := format.Verify(path.Base(f.Path), out, f.Size); r.Problem != "" {
		return fmt.Errorf("%s of %s: %s: %w", f.Path, b.Manifest.Name, r.Problem, ErrDamaged)
	}
	return nil
}

// read hashes what an earlier attempt has copied.
func (b *job) read(ctx context.Context, f *os.File, sum hash.Hash, size int64) error {
	return b.chunks(ctx, io.NewSectionReader(f, 0, size), func(data []byte, _ int64) error {
		_, err := sum.Write(data)
		return err
	})
}

// pour copies and hashes a file from an offset on.
func (b *job) pour(ctx context.Context, from, out *os.File, sum hash.Hash, at, size int64) error {
	if err := b.dest.Truncate("backup:copy", out, at); err != nil {
		return err
	}
	return b.chunks(ctx, io.NewSectionReader(from, at, size-at), func(data []byte, off int64) error {
		if _, err := sum.Write(data); err != nil {
			return err
		}
		return b.dest.Write("backup:copy", out, data, at+off)
	})
}

// chunks hands on what a reader has, piece by piece, and says how far it is.
func (b *job) chunks(ctx context.Context, r io.Reader, each func(data []byte, off int64) error) error {
	if b.buffer == nil {
		b.buffer = make([]byte, 1<<20)
	}
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, b.buffer)
		if n > 0 {
			if err := each(b.buffer[:n], off); err != nil {
				return err
			}
			off, b.done = off+int64(n), b.done+int64(n)
			b.Progress(b.done, b.Size)
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// finishFile gives a copy what the original has, and makes it durable.
func (b *job) finishFile(out *os.File, st *disk.Stat) error {
	err := unsupported(b.dest.Fchown("backup:meta", out, int(st.UID), int(st.GID)))
	if err == nil {
		err = unsupported(b.dest.Fchmod("backup:meta", out, st.Mode&0o7777))
	}
	if err == nil {
		err = unsupported(b.dest.Fchtimes("backup:meta", out, st.Atime, st.Mtime))
	}
	if err != nil {
		return err
	}
	return b.dest.Fsync("backup:sync", out)
}

// unsupported drops errors of a user, or of a file system, that cannot set what
// the original has: the content is what counts.
func unsupported(err error) error {
	return ignore(err, unix.EPERM, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS)
}

// fits refuses a copy for which there is no room, before anything of it is
// written.
func (b *job) fits(to string) error {
	fs, err := b.dest.Statfs()
	if err != nil {
		return err
	}
	need := b.Size
	if begun, err := walk(b.dest, to); err == nil {
		for _, e := range begun {
			need -= int64(e.st.Blocks) * 512
		}
	}
	if free := int64(fs.Bavail) * int64(max(fs.Bsize, 1)); fs.Blocks > 0 && need > free {
		return fmt.Errorf("%d bytes are free, and %d are needed: %w", free, need, unix.ENOSPC)
	}
	return nil
}
