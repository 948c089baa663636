package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout/format"
)

// What proves that a file is what it was when it was committed; the words of
// `verify --json`.
const (
	byHash      = "hash"      // all of it was read, and is what was hashed at the commit
	byChecksums = "checksums" // all of it was read, and agrees with the checksums of its format
	byStructure = "structure" // its header, index and length fit each other
)

// proof is what was found out about one file.
type proof struct {
	path     string
	format   string
	size     int64
	by       string // "" when nothing was proved
	damage   string // what is wrong with it
	sum      string // the hash of its bytes; "" when they were not all read
	want     string // what that should be
	deep     bool   // all of it was to be read
	renewed  bool   // it is whole, and another than was committed: sum is to be believed from now on
	stranger bool   // the checkpoint is whole without it
	changed  string // it is not the file that the manifest is about: nothing is known
	err      error  // it could not be looked at: nothing is known
}

// decides reports whether the proof says more than an earlier finding of damage.
// That a header fits does not.
func (p *proof) decides() bool {
	return p.damage != "" || p.deep && p.err == nil && p.changed == "" && p.by != byStructure
}

const anotherOne = "it is another one than was committed"

// prover reads files to prove them.
type prover struct {
	ctx   context.Context
	deep  bool
	pause func(n int) error // called before each piece of n bytes is read; it rests, and ends early
	count func(n int64)     // what was read of the content
}

// prove looks at one file of a version; false when the version is gone.
func (s *Store) prove(pr *prover, v *Version, f ManifestFile) (out proof, there bool) {
	out = proof{path: f.Path, format: f.Format, size: f.Size, want: f.XXH3, deep: pr.deep}
	var file *os.File
	err := v.location(func(dir string) (err error) {
		file, err = s.disk.Open("verify", path.Join(dir, f.Path), os.O_RDONLY, 0)
		return err
	})
	if errors.Is(err, unix.ESTALE) {
		return out, false
	}
	if err != nil {
		return s.unopened(v, out, err)
	}
	defer file.Close()
	st, err := s.disk.Fstat(file)
	if err != nil {
		out.err = err
		return out, true
	}
	if st.Ino != f.Ino || st.Size != f.Size {
		out.changed = anotherOne
		return out, v.where() != ""
	}
	r := &reading{prover: pr, file: file, left: st.Size}
	if pr.deep {
		defer func() {
			if out.err == nil { // what needed no reading counts too
				r.counted(r.left)
			}
		}()
	}
	res := format.Check(f.Path, r, st.Size)
	switch {
	case r.err != nil:
		out.unreadable(r.err)
	case res.Problem != "":
		out.damage = res.Problem
	case pr.deep:
		s.proveContent(&out, r, &f, v.Adopted, s.damageAt(v, f.Path))
	default:
		out.by = byStructure
	}
	// A time that is not that of the manifest was just set, or somebody was at it
	// from outside. What is kept in private nobody has to be at.
	if now := s.fileOf(v, f.Path); out.damage != "" && !v.inPrivate() && (now == nil || now.MtimeNS != st.Mtime.Nano()) {
		out.damage, out.changed = "", anotherOne
	}
	if out.damage != "" && out.sum == "" && r.err == nil { // what is it, to know it again?
		if sum, err := r.hash(st.Size); err == nil {
			out.sum = sum
		}
	}
	return out, true
}

// inPrivate reports whether a version lies in the history or in the trash.
func (v *Version) inPrivate() bool {
	dir := path.Dir(v.where())
	return dir == historyDir || dir == trashDir
}

// unopened is what it means that a file cannot be opened.
func (s *Store) unopened(v *Version, out proof, err error) (proof, bool) {
	switch {
	case v.where() == "":
		return out, false
	case isGone(err):
		out.changed = "it is not there any more"
	default:
		out.unreadable(err)
	}
	return out, true
}

// proveContent reads all of a file.
func (s *Store) proveContent(out *proof, r *reading, f *ManifestFile, adopted bool, old *Damage) {
	if f.XXH3 != "" {
		sum, err := r.hash(f.Size)
		if err != nil {
			out.unreadable(err)
			return
		}
		out.sum = sum
		switch {
		case sum == f.XXH3 && !adopted:
			out.by = byHash
			return
		case sum != f.XXH3 && (old == nil || old.is(f) || old.XXH3 == sum): // also when it was touched since
			out.damage = "its bytes are not those that were committed"
			return
		}
	}
	// What it should be nobody knows: it was found, and not saved here, or somebody
	// has put another file in the place of a damaged one. Perhaps it knows itself.
	res := format.Verify(f.Path, r, f.Size)
	switch {
	case r.err != nil:
		out.unreadable(r.err)
		return
	case res.Problem != "":
		out.damage = res.Problem
		return
	case res.Verified:
		out.by = byChecksums
	case out.sum != "" && out.sum == f.XXH3:
		out.by = byHash
	}
	if out.sum == "" && out.by == "" { // can it be read, at least?
		sum, err := r.hash(f.Size)
		if err != nil {
			out.unreadable(err)
			return
		}
		out.sum = sum
	}
	out.renewed = out.sum != "" && out.sum != f.XXH3
}

// unreadable tells a disk that has lost the bytes from trouble that says nothing
// of them.
func (p *proof) unreadable(err error) {
	for _, lost := range []error{unix.EIO, unix.ENODATA, unix.EBADMSG, unix.EUCLEAN, unix.EREMOTEIO, unix.EILSEQ} {
		if errors.Is(err, lost) {
			p.damage = "the disk cannot read it: " + lost.Error()
			return
		}
	}
	p.err = err
}

// fileOf is what the manifest says of a file now: its time may have been set.
func (s *Store) fileOf(v *Version, p string) *ManifestFile {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := slices.IndexFunc(v.Files, func(f ManifestFile) bool { return f.Path == p })
	if i < 0 {
		return nil
	}
	f := v.Files[i]
	return &f
}

func (s *Store) damageAt(v *Version, p string) *Damage {
	list := s.damageOf(v)
	i := slices.IndexFunc(list, func(d Damage) bool { return d.Path == p })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// reading is a file that is being read to be proved.
type reading struct {
	*prover
	file   *os.File
	left   int64 // bytes that are not counted yet
	direct bool
	err    error // the first that kept it from being read
}

// piece is how much is read at once.
const piece = 1 << 20

// ReadAt implements io.ReaderAt.
func (r *reading) ReadAt(p []byte, off int64) (int, error) {
	return r.read(p, func() (int, error) { return r.file.ReadAt(p, off) })
}

func (r *reading) read(p []byte, call func() (int, error)) (int, error) {
	err := r.pause(len(p))
	n := 0
	if err == nil {
		n, err = call()
	}
	if err != nil && err != io.EOF && r.err == nil {
		r.err = err
	}
	if r.deep {
		r.counted(int64(n))
	}
	return n, err
}

// counted counts what was read; what is read twice counts once.
func (r *reading) counted(n int64) {
	n = min(n, r.left)
	r.left -= n
	r.count(n)
}

// hash reads the whole file, past the page cache where the file system lets us:
// what is on the disk is to be proved, not what is in memory, and what others
// read often is to stay in memory.
func (r *reading) hash(size int64) (string, error) {
	r.direct = disk.Direct(r.file, true)
	defer disk.Direct(r.file, false)
	buf, h := disk.Aligned(int(min(size+1, piece))), xxh3.New()
	for off := int64(0); ; {
		n, err := r.read(buf, func() (int, error) { return disk.ReadOnce(r.file, buf, off) })
		if errors.Is(err, unix.EINVAL) && r.direct { // it does not mean it, or not at this offset
			r.direct = disk.Direct(r.file, false)
			r.err = nil
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", r.file.Name(), err)
		}
		if n == 0 {
			break
		}
		_, _ = h.Write(buf[:n]) // a hash takes everything
		off += int64(n)
	}
	sum := h.Sum128().Bytes()
	return hex.EncodeToString(sum[:]), nil
}
