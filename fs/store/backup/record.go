package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/layout"
)

// record is what is known of one backup.
type record struct {
	Format      int                  `json:"format"`
	Entry       string               `json:"entry"`
	Run         string               `json:"run"`
	Name        string               `json:"name"`
	Kind        layout.Kind          `json:"kind"`
	Version     string               `json:"version"`
	Progress    layout.Progress      `json:"progress"`
	CommittedAt time.Time            `json:"committed_at"`
	CopiedAt    time.Time            `json:"copied_at"`
	Size        int64                `json:"size"`
	Files       []store.ManifestFile `json:"files"` // sizes, times and hashes; inodes are 0
}

const recordFormat = 1

// maxRecord bounds a record, in bytes: a manifest is no larger.
const maxRecord = 64 << 20

func (b *job) newRecord(entry string) *record {
	m := b.Manifest
	return &record{
		Format: recordFormat, Entry: entry, Run: b.Run, Name: m.Name, Kind: m.Kind, Version: m.ID, Progress: m.Progress,
		CommittedAt: m.CommittedAt, CopiedAt: b.Now, Size: m.Size, Files: b.files,
	}
}

// isOf reports whether a backup has the content of a version: by its id or, as
// long as nothing was written down about a version that was only found, by its
// files.
func (r *record) isOf(src Source) bool {
	m := src.Manifest
	if r.Run != src.Run || r.Name != m.Name {
		return false
	}
	return r.Version == m.ID || slices.EqualFunc(r.Files, m.Files, func(a, b store.ManifestFile) bool {
		return a.Path == b.Path && a.Size == b.Size && (a.MtimeNS == b.MtimeNS && b.XXH3 == "" || a.XXH3 == b.XXH3)
	})
}

// writeRecord stores a record: new, synced, renamed.
func (b *job) writeRecord(r *record) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode the record of %s: %w", r.Entry, err)
	}
	p := recordPath(r.Entry)
	f, err := b.dest.Open("backup:record", p+".new", unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = b.dest.Write("backup:record", f, append(data, '\n'), 0)
	if err == nil {
		err = b.dest.Fsync("backup:record", f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = b.dest.Rename("backup:record", p+".new", p, 0)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", p, err)
	}
	return nil // the copy leaves the same directory next, and its changes stay in order
}

func recordPath(entry string) string { return path.Join(Private, entry+".json") }

// readRecord reads one; nil for what is none, or is of an entry that is not there.
func (b *job) readRecord(file string) (*record, error) {
	p := path.Join(Private, file)
	f, err := b.dest.Open("", p, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	r, err := parseRecord(file, data)
	if err != nil {
		b.Note("%s says nothing: %v; its backup is left alone", p, err)
		return nil, nil
	}
	st, err := b.dest.Stat(r.Entry)
	switch {
	case errors.Is(err, unix.ENOENT): // removed by the user, or never finished
		return nil, ignore(b.dest.Unlink("backup:stale", p), unix.ENOENT)
	case err != nil:
		return nil, err
	case !st.IsDir():
		return nil, nil
	}
	return r, nil
}

// parseRecord refuses what would lead anywhere but below its entry.
func parseRecord(file string, data []byte) (*record, error) {
	r := new(record)
	if len(data) > maxRecord {
		return nil, fmt.Errorf("larger than %d bytes", maxRecord)
	}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	switch {
	case r.Format != recordFormat:
		return nil, fmt.Errorf("format %d is of another version of ckptfs", r.Format)
	case r.Entry+".json" != file || strings.Contains(r.Entry, "/") || !fs.ValidPath(r.Entry) || r.Entry == "." || r.Entry == Private:
		return nil, errors.New("it is not the record that its name says")
	}
	for _, f := range r.Files {
		if !fs.ValidPath(f.Path) || f.Path == "." || f.Size < 0 {
			return nil, fmt.Errorf("%q is no file of a checkpoint", f.Path)
		}
	}
	return r, nil
}
