// Package backup copies one version of a checkpoint into another directory, DEST,
// which may be on any file system. The copy is compared with the manifest while it
// is made, gets its name only when it is whole and durable, and can be carried on
// with after any interruption.
//
// What it knows of its own copies lies in DEST/.ckptfs-backups:
//
//	lock             held by the one backup that works on DEST
//	<entry>.json     a record of one backup: what it is of, and its files
//	<entry>.partial/ a copy that is being made; then renamed to DEST/<entry>
//	<entry>.deleted/ one that exceeded --keep, on its way out
//
// A directory in DEST without a record, or that does not hold what its record
// says, is somebody else's and never touched.
package backup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
)

// Private is the directory in DEST that says which backups are whose.
const Private = ".ckptfs-backups"

const (
	partialSuffix = ".partial"
	deletedSuffix = ".deleted"
)

// Source is the version that is copied.
type Source struct {
	Tree     disk.Disk // rooted at the version's directory
	Manifest store.Manifest
	Run      string // whose it is: the absolute path of the run's directory
}

// Options say how.
type Options struct {
	Keep     int                           // how many backups of that kind and run stay; 0 for all
	Now      time.Time                     // when the backup is made
	Progress func(done, total int64)       // in bytes; may be nil
	Note     func(format string, a ...any) // what the user is told meanwhile; may be nil
}

// Result is what came of it.
type Result struct {
	Entry   string   // its name in DEST
	Size    int64    // bytes
	Resumed int64    // of these, bytes that an earlier attempt had copied
	Already bool     // it was there, and is whole
	Proven  bool     // every file was compared with the hash of its commit
	Removed []string // entries that exceeded Keep
}

// ErrDamaged says that the version is not what was committed.
var ErrDamaged = errors.New("damaged")

// errBusy says that another backup works on DEST.
var errBusy = errors.New("another backup to the same place is under way")

// job is one backup under way.
type job struct {
	Source
	Options
	dest   disk.Disk
	files  []store.ManifestFile // what is copied, with the times that the copies have
	done   int64                // bytes, for the progress
	hashed string               // the hash of the file that was copied last
	buffer []byte
	Result
}

// Run makes one backup.
func Run(ctx context.Context, src Source, dest disk.Disk, opts Options) (Result, error) {
	b := &job{Source: src, Options: opts, dest: dest}
	if b.Progress == nil {
		b.Progress = func(int64, int64) {}
	}
	if b.Note == nil {
		b.Note = func(string, ...any) {}
	}
	unlock, err := b.lock()
	if err != nil {
		return b.Result, err
	}
	defer unlock()
	b.Size, b.Proven = src.Manifest.Size, true
	for _, f := range src.Manifest.Files {
		b.Proven = b.Proven && f.XXH3 != ""
	}
	records, err := b.tidy()
	if err != nil {
		return b.Result, err
	}
	if err := b.find(ctx, records); err != nil {
		return b.Result, err
	}
	if !b.Already {
		r, err := b.make(ctx)
		if err != nil {
			return b.Result, err
		}
		records = append(records, r)
		if err := b.dropAbandoned(); err != nil {
			return b.Result, err
		}
	}
	return b.Result, b.prune(records)
}

// lock keeps other backups out of DEST. A file system without locks has to do
// without.
func (b *job) lock() (unlock func(), err error) {
	if err := ignore(b.dest.Mkdir("backup:private", Private, 0o700), unix.EEXIST); err != nil {
		return nil, err
	}
	f, err := b.dest.Open("backup:lock", path.Join(Private, "lock"), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		f.Close()
		return nil, errBusy
	case err != nil && !errors.Is(err, unix.ENOLCK) && !without(err):
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", Private, err)
	}
	return func() { f.Close() }, nil
}

// find looks for a backup of the same version, and reads all of it: one that is
// whole need not be made again.
func (b *job) find(ctx context.Context, records []*record) error {
	for _, r := range records {
		if !r.isOf(b.Source) {
			continue
		}
		problem, err := b.verify(ctx, r)
		if err != nil {
			return err
		}
		if problem == "" {
			b.Entry, b.Already = r.Entry, true
			return nil
		}
		b.Note("%s is a backup of the same version, but %s; it is left there, and another one is made", r.Entry, problem)
	}
	return nil
}

// make copies the version, and gives the copy its name. Its record comes first: a
// name without one would be nobody's.
func (b *job) make(ctx context.Context) (*record, error) {
	entry, err := b.freeEntry()
	if err != nil {
		return nil, err
	}
	partial := path.Join(Private, entry+partialSuffix)
	if err := b.copyTree(ctx, partial); err != nil {
		return nil, err
	}
	r := b.newRecord(entry)
	if err := b.writeRecord(r); err != nil {
		return nil, err
	}
	err = b.dest.Rename("backup:name", partial, entry, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // the file system does not know the flag; the lock keeps others away
		err = b.dest.Rename("backup:name", partial, entry, 0)
	}
	if err != nil {
		return nil, err
	}
	b.Entry = entry
	return r, b.syncDir("")
}

// freeEntry is the name of the backup: the checkpoint's with the time of its
// commit, and a number where that is taken.
func (b *job) freeEntry() (string, error) {
	base := b.Manifest.Name + "-" + b.Manifest.CommittedAt.UTC().Format("20060102T150405Z")
	for n := 1; ; n++ {
		entry := base
		if n > 1 {
			entry += "-" + strconv.Itoa(n)
		}
		_, err := b.dest.Stat(entry)
		if errors.Is(err, unix.ENOENT) {
			return entry, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// tidy removes what interrupted backups have left and nobody goes on with, and
// returns the records of what is there.
func (b *job) tidy() ([]*record, error) {
	list, err := b.dest.ReadDir(Private)
	if err != nil {
		return nil, err
	}
	var records []*record
	for _, e := range list {
		p := path.Join(Private, e.Name)
		switch {
		case strings.HasSuffix(e.Name, deletedSuffix), strings.HasSuffix(e.Name, ".new"):
			err = b.removeAll(p)
		case strings.HasSuffix(e.Name, ".json"):
			var r *record
			if r, err = b.readRecord(e.Name); r != nil {
				records = append(records, r)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// dropAbandoned removes copies of the same checkpoint that were begun and never
// finished: a newer one has been made.
func (b *job) dropAbandoned() error {
	list, err := b.dest.ReadDir(Private)
	if err != nil {
		return err
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name, b.Manifest.Name+"-") && strings.HasSuffix(e.Name, partialSuffix) {
			if err := b.removeAll(path.Join(Private, e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// syncDir makes the names in a directory of DEST durable, where the file system
// can.
func (b *job) syncDir(p string) error {
	if err := b.dest.Sync("backup:sync", p); err != nil && !without(err) {
		return err
	}
	return nil
}

// without reports whether an error says that a file system does not have what was
// asked for.
func without(err error) bool {
	return ignore(err, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP) == nil
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
