package store

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store/proc"
)

// The hashes of a version tell later whether its bytes are still those that were
// committed. Nothing in the commit rests on them, and reading half a gigabyte once
// more takes a third of the time that the disk takes to write it. So a commit
// hashes what is small, and the rest is read when it is through: soon, while it is
// in the page cache, by threads that the disk serves last, and never while a save
// is being written. Checkpoints that a mount finds are hashed in the same way.
//
// Who asks for the proof (a verification, a backup) has what is left hashed first,
// and so does an unmount.
type hashing struct {
	atOnce int64 // bytes of a save that its commit hashes

	mu      sync.Mutex
	queue   []*Version
	now     *Version // what keepHashing is about
	running bool     // keepHashing
}

const (
	hashAtOnce = 1 << 20
	hashPause  = 100 * time.Millisecond // between looks whether a save is being written
	hashMost   = 4                      // files at a time
)

// hashLater enters versions that may have files without hashes.
func (s *Store) hashLater(versions ...*Version) {
	h := &s.hashing
	h.mu.Lock()
	h.queue = append(h.queue, versions...)
	start := !h.running && len(h.queue) > 0
	h.running = h.running || start
	h.mu.Unlock()
	if start {
		s.spawn(s.keepHashing)
	}
}

// keepHashing is the goroutine that hashes, for as long as there is something. Its
// thread ends with it, and the low priority with the thread.
func (s *Store) keepHashing() {
	runtime.LockOSThread()
	s.background()
	for v := s.hashing.next(); v != nil && !s.stopped(); v = s.hashing.next() {
		s.report("hash a checkpoint", s.hashVersion(v, s.letSavesGo))
	}
}

func (s *Store) background() {
	if err := proc.Background(); err != nil {
		s.log.Info("hashing has the priority of everything else", "err", err)
	}
}

// next takes a version from the queue; nil says that there is none, and that
// keepHashing has to end.
func (h *hashing) next() (v *Version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) > 0 {
		v, h.queue = h.queue[0], h.queue[1:]
	}
	h.now, h.running = v, v != nil
	return v
}

// hashRest hashes now what commits have left, also what keepHashing is about. What a
// mount has found may be all that was ever saved, and is left to the next.
func (s *Store) hashRest(ctx context.Context) {
	h := &s.hashing
	h.mu.Lock()
	list := slices.Clone(h.queue)
	if h.now != nil {
		list = append(list, h.now)
	}
	h.mu.Unlock()
	for _, v := range list {
		if !v.Adopted && ctx.Err() == nil {
			s.report("hash a checkpoint", s.hashVersion(v, nil))
		}
	}
}

// hashFound enters what a mount has found without hashes: adopted, or committed by
// a ckptfs that did not come to it.
func (s *Store) hashFound() {
	var found []*Version
	for _, rec := range s.allRecords() {
		rec.mu.RLock()
		for _, v := range append([]*Version{rec.committed}, rec.history...) {
			if v != nil && len(s.unhashed(v)) > 0 {
				found = append(found, v)
			}
		}
		rec.mu.RUnlock()
	}
	s.hashLater(found...)
}

// unhashed lists the files of a version whose hashes are not known.
func (s *Store) unhashed(v *Version) (files []ManifestFile) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range v.Files {
		if f.XXH3 == "" && !slices.ContainsFunc(v.Damage, func(d Damage) bool { return d.Path == f.Path }) {
			files = append(files, f)
		}
	}
	return files
}

// hashVersion fills in the hashes of a version, of those files that are the ones
// that the manifest describes, and writes them down. rest is nil when somebody
// waits for it; else it is called before each piece is read, may wait, and ends the
// hashing with false.
func (s *Store) hashVersion(v *Version, rest func() bool) error {
	files := s.unhashed(v)
	if len(files) == 0 {
		return nil
	}
	sums, errs := make([]string, len(files)), make([]error, len(files))
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(files)); i = next.Add(1) - 1 {
			sums[i], errs[i] = s.hashFile(v, &files[i], rest)
		}
	}
	var others sync.WaitGroup
	// One processor is left to those who ask for something: a thread of low priority
	// may be kept waiting with what Go has given it to run on.
	for range min(runtime.GOMAXPROCS(0)-1, hashMost, len(files)) - 1 {
		others.Go(func() {
			if rest != nil {
				runtime.LockOSThread()
				s.background()
			}
			work()
		})
	}
	work() // on the thread of the caller, whose priority is what it should be
	others.Wait()
	if !s.learnHashes(v, files, sums) || s.readOnly {
		return errors.Join(errs...)
	}
	m := s.ManifestOf(v)
	if err := v.location(func(dir string) error { return s.matches(dir, &m) }); err != nil {
		return errors.Join(errs...) // changed or moved meanwhile: whoever did that writes down what is there
	}
	return errors.Join(append(errs, s.rewriteManifest("hash:manifest", v, !v.Adopted))...)
}

// hashFile is the hash of one file of a version; "" when it cannot be had: the
// version is gone, the file another one by now, or the store being closed.
func (s *Store) hashFile(v *Version, f *ManifestFile, rest func() bool) (string, error) {
	h, buf := xxh3.New(), make([]byte, min(f.Size+1, piece))
	for off := int64(0); !s.stopped() && (rest == nil || rest()); {
		n, err := s.readPiece(v, f, buf, off)
		_, _ = h.Write(buf[:n]) // a hash takes everything
		off += int64(n)
		switch {
		case err == io.EOF:
			sum := h.Sum128().Bytes()
			return hex.EncodeToString(sum[:]), nil
		case isGone(err) || errors.Is(err, unix.ESTALE):
			return "", nil
		case err != nil:
			return "", err
		}
	}
	return "", nil
}

// readPiece reads from a file of a version, if it is the one that the manifest
// describes. It opens it each time: who rests holds no file that may be deleted, and
// whose space somebody waits for.
func (s *Store) readPiece(v *Version, f *ManifestFile, buf []byte, off int64) (n int, err error) {
	var file *os.File
	err = v.location(func(dir string) (err error) {
		file, err = s.disk.Open("hash", path.Join(dir, f.Path), os.O_RDONLY, 0)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer file.Close() // it was only read
	n, err = file.ReadAt(buf, off)
	st, statErr := s.disk.Fstat(file)
	if statErr == nil && (st.Ino != f.Ino || st.Size != f.Size || st.Mtime.Nano() != f.MtimeNS) {
		statErr = unix.ESTALE
	}
	if statErr != nil {
		return 0, statErr
	}
	return n, err
}

// learnHashes takes the hashes of files over into the manifest in memory, if they
// are still what it describes, and reports whether there were any.
func (s *Store) learnHashes(v *Version, files []ManifestFile, sums []string) (some bool) {
	of := map[ManifestFile]string{}
	for i, f := range files {
		of[f] = sums[i]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.Clone(v.Files)
	for i := range known {
		if sum := of[known[i]]; sum != "" {
			known[i].XXH3, some = sum, true
		}
	}
	v.Files = known
	return some
}

// letSavesGo waits while a save is being written; false when the store is being
// closed.
func (s *Store) letSavesGo() bool {
	for s.writeBack.busy(s.clock.Now()) {
		if !s.sleep(hashPause) {
			return false
		}
	}
	return true
}
