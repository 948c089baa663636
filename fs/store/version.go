package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
)

// Manifest is what is written down about a committed version. It can always be
// rebuilt by looking at the files; what it adds are hashes and the time.
type Manifest struct {
	Format      int                `json:"format"`
	ID          string             `json:"id"`
	Run         string             `json:"run"`
	Name        string             `json:"name"`
	Entry       string             `json:"entry,omitempty"` // a file of it, where the checkpoint is spread
	Layout      string             `json:"layout"`
	Kind        layout.Kind        `json:"kind"`
	Progress    layout.Progress    `json:"progress"`
	Metrics     map[string]float64 `json:"metrics,omitempty"`
	BestName    string             `json:"best_name,omitempty"` // the checkpoint that it calls the best so far
	CommittedAt time.Time          `json:"committed_at"`
	Adopted     bool               `json:"adopted,omitempty"` // found, not saved through a mount
	DirIno      uint64             `json:"dir_ino"`
	Removed     string             `json:"removed,omitempty"` // why it is no checkpoint: files of one were removed
	Size        int64              `json:"size"`              // bytes of all files
	Files       []ManifestFile     `json:"files"`
	Damage      []Damage           `json:"damage,omitempty"` // what a verification has found; guarded by Store.mu
}

// ManifestFile is one regular file. Ino and mtime tell whether somebody changed
// it from outside; the hash tells whether its bytes are still the same.
type ManifestFile struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	MtimeNS int64  `json:"mtime_ns"`
	Ino     uint64 `json:"ino"`
	Format  string `json:"format,omitempty"`
	XXH3    string `json:"xxh3,omitempty"` // 128 bits, hex; "" until the hash is known
}

const manifestFormat = 1

// Version is one committed content of a checkpoint name.
type Version struct {
	Manifest
	rec *record
	// origin is the name that the version was renamed aside from, once that has a
	// successor; guarded by Store.mu.
	origin *record
	views  atomic.Int32 // view nodes that the kernel still holds
	left   atomic.Int64 // unix ns when the last view stopped resolving to it; 0 while one does

	unchecked atomic.Bool // its files were not compared with the manifest since the mount

	papers sync.Mutex // its manifest is being written

	mu   sync.RWMutex
	path string // where its tree lies now; "" once it is gone
}

// location calls f with the place where the version lies, which does not move
// until f returns.
func (v *Version) location(f func(dir string) error) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.path == "" {
		return unix.ESTALE
	}
	return f(v.path)
}

// moved records where the version went. The caller has moved it with mu held.
func (v *Version) where() string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.path
}

func manifestPath(id string) string { return path.Join(manifestDir, id+".json") }

// writeManifest stores m durably: a commit rests on it after a power cut.
func (s *Store) writeManifest(op disk.Op, m *Manifest) error { return s.putManifest(op, m, true) }

// putManifest stores m, durably or not: one that was made by looking can be made
// again, until something else is to go by it.
func (s *Store) putManifest(op disk.Op, m *Manifest, sync bool) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("encode manifest %s: %w", m.ID, err)
	}
	s.unpacked.Add(1)
	return s.writeFile(op, manifestPath(m.ID), append(b, '\n'), sync)
}

// The limits of a private file, in bytes, and of a manifest in files: the
// largest checkpoints have some 100,000, at 200 bytes each. Reading one takes
// less than maxPrivateMemory.
const (
	maxPrivate       = 64 << 20
	maxManifestFiles = 1 << 18
	maxPrivateMemory = 512 << 20
)

func (s *Store) readManifest(id string) (*Manifest, error) {
	b, err := s.readFile(manifestPath(id), maxPrivate)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(id, b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", manifestPath(id), err)
	}
	return m, nil
}

func parseManifest(id string, b []byte) (*Manifest, error) {
	if n := bytes.Count(b, []byte("{")); n > maxManifestFiles {
		return nil, fmt.Errorf("%d files, %d are allowed", n, maxManifestFiles)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("format %d: %w", m.Format, errOtherVersion)
	}
	if m.ID != id {
		return nil, fmt.Errorf("it is of version %q", m.ID)
	}
	m.share()
	return m, m.valid()
}

// share has words that are the same in most manifests lie in memory once.
func (m *Manifest) share() {
	m.Run, m.Layout = unique.Make(m.Run).Value(), unique.Make(m.Layout).Value()
	m.Kind = layout.Kind(unique.Make(string(m.Kind)).Value())
	for i := range m.Files {
		f := &m.Files[i]
		f.Path, f.Format = unique.Make(f.Path).Value(), unique.Make(f.Format).Value()
	}
}

// valid refuses names and paths that would lead out of the directory.
func (m *Manifest) valid() error {
	if !plainName(m.ID) || !plainName(m.Name) || !plainRun(m.Run) || m.Entry != "" && !plainName(m.Entry) {
		return fmt.Errorf("checkpoint %q of run %q is not a path below the directory", m.Name, m.Run)
	}
	total := int64(0)
	for _, f := range m.Files {
		if !fs.ValidPath(f.Path) {
			return fmt.Errorf("file %q is not a path below the checkpoint", f.Path)
		}
		if total += f.Size; f.Size < 0 || total < 0 {
			return fmt.Errorf("file %q has an impossible size", f.Path)
		}
	}
	for _, d := range m.Damage {
		if !fs.ValidPath(d.Path) {
			return fmt.Errorf("damaged file %q is not a path below the checkpoint", d.Path)
		}
	}
	if m.Size != total {
		return fmt.Errorf("its files have %d bytes, not %d", total, m.Size)
	}
	return nil
}

// writeFile replaces a small private file: a new one, synced, renamed over the
// old one, and the directory synced, so that a crash leaves one or the other.
// Without sync it is only atomic against a kill.
func (s *Store) writeFile(op disk.Op, p string, data []byte, sync bool) error {
	tmp := p + ".new"
	f, err := s.disk.Open(op, tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, unix.EEXIST) { // left by a crash; whatever it is, it is not written to
		if err = s.disk.Unlink(op, tmp); err == nil {
			f, err = s.disk.Open(op, tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	if err != nil {
		return err
	}
	err = s.disk.Write(op, f, data, 0)
	if err == nil && sync {
		err = s.disk.Fsync(op, f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = s.disk.Rename(op, tmp, p, 0)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", p, err), ignore(s.disk.Unlink(op, tmp), unix.ENOENT))
	}
	if sync {
		return s.disk.Sync(op, path.Dir(p))
	}
	return nil
}

func (s *Store) readFile(p string, limit int64) ([]byte, error) {
	f, err := s.disk.Open("", p, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: larger than %d bytes", p, limit)
	}
	return b, nil
}

// ignore drops the errors that are as good as success.
func ignore(err error, fine ...error) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}
