package main

import (
	"io/fs"
	"path/filepath"
	"time"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

// history lists the saves of the one run at PATH.
func history(opts askOptions, path string) ([]policy.Save, error) {
	t, err := findTarget(path)
	if err != nil {
		return nil, err
	}
	src, err := look(t, opts.config)
	if err != nil {
		return nil, err
	}
	defer src.Close() // it was only read
	all, err := src.List()
	if err != nil {
		return nil, err
	}
	rep, _ := selectRows(all, t, true)
	var saves []policy.Save
	runs := 0
	for _, r := range rep.Runs {
		before := len(saves)
		for _, row := range r.Checkpoints {
			if row.State != policy.Committed && row.State != policy.History || row.CommittedAt == nil {
				continue
			}
			saves = append(saves, saveOf(filepath.Join(t.root, r.Path), row))
		}
		if len(saves) > before {
			runs++
		}
	}
	switch runs {
	case 0:
		return nil, nothingError("%s holds no checkpoints", path)
	case 1:
		return saves, nil
	}
	return nil, usageError("%s holds %d runs; give the PATH of one", path, runs)
}

// saveOf is what a row says of the save that it comes from. While the checkpoint
// is there under its name, its files tell more exactly when they were written.
func saveOf(dir string, row store.CheckpointRow) policy.Save {
	s := policy.Save{Name: row.Name, Size: row.Size, Ended: *row.CommittedAt}
	s.Epoch, s.Step, s.GlobalStep = row.Epoch, row.Step, row.GlobalStep
	if row.State != policy.Committed || row.Saving {
		return s
	}
	first, last, ok := written(filepath.Join(dir, row.Name))
	if ok {
		s.Began, s.Ended = first, last
	}
	return s
}

// written is when the first and the last file of a checkpoint were written. ok is
// false where that cannot be known: it is gone by now, or one file, which does
// not tell when it was begun.
func written(checkpoint string) (first, last time.Time, ok bool) {
	files := 0
	err := filepath.WalkDir(checkpoint, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		at := info.ModTime()
		if files == 1 || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		return nil
	})
	return first, last, err == nil && files > 1
}
