package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
)

// openVersion is one version, open to be read: what its files are, and where. It
// is reached by descriptor, and stays what it is when its name gets another.
type openVersion struct {
	*disk.Root
	store.Manifest
}

func openAt(dir string, m store.Manifest) (*openVersion, error) {
	root, err := disk.OpenRoot(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("read version %s of %s: %w; only root, and the owner of the directory or who mounted it, may", m.ID, m.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read version %s of %s: %w", m.ID, m.Name, err)
	}
	return &openVersion{root, m}, nil
}

// OpenVersion implements source.
func (o offline) OpenVersion(id string) (*openVersion, error) {
	v := o.Store.VersionByID(id)
	if v == nil {
		return nil, nothingError("version %s is not there any more", id)
	}
	return openAt(filepath.Join(o.dir, v.Dir()), o.Store.HashedManifest(v))
}

// OpenVersion implements source. The daemon shows the version under its id, and
// keeps it as long as it is open.
func (d daemon) OpenVersion(id string) (*openVersion, error) {
	dir := d.file(filepath.Join("versions", id))
	b, err := os.ReadFile(dir + ".json")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nothingError("version %s is not there any more", id)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("ask the ckptfs at %s: %w; only root, and the owner of %s or who mounted it, may", string(d), err, string(d))
	case err != nil:
		return nil, fmt.Errorf("ask the ckptfs at %s: %w", string(d), err)
	}
	var m store.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read %s.json: %w", dir, err)
	}
	return openAt(dir, m)
}
