package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ckptfs/fs/store"
	"ckptfs/layout"
	"ckptfs/policy"
)

// located is the checkpoint that a path names. Of a copy that lies in no run, run
// and row tell only its name.
type located struct {
	run    store.RunList
	row    store.CheckpointRow
	layout *layout.Layout
	match  layout.Match
	root   *os.Root // of its files; those of others may lie there too
	mine   []string // its files, where the checkpoint is no directory
}

func (f *located) Close() error { return f.root.Close() }

// files is the checkpoint alone.
func (f *located) files() fs.FS {
	if f.match.Type == layout.Dir {
		return f.root.FS()
	}
	return picked{f.root.FS(), f.mine}
}

// findCheckpoint finds what a path names: a checkpoint or a view, in a mount or
// in a directory, where there are no views to be seen but the same ones resolve.
func findCheckpoint(opts askOptions, arg string) (*located, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	// A name in its run, or one in by-epoch/ or by-step/.
	for dir, levels := filepath.Dir(abs), 0; levels < 2; dir, levels = filepath.Dir(dir), levels+1 {
		name, err := filepath.Rel(dir, abs)
		if err != nil {
			return nil, err
		}
		if !isDirectory(dir) {
			continue // by-epoch/ where nothing is mounted
		}
		f, err := findInRun(opts, dir, name)
		if f != nil || err != nil {
			return f, err
		}
	}
	f, err := findCopy(opts, abs)
	if f == nil && err == nil {
		err = nothingError("%s is no checkpoint and no view; ckptfs ls lists those of a run", arg)
	}
	return f, err
}

// findCopy is about a directory that lies in no run, or is called like none of
// its checkpoints: what it holds tells what it is. It is nil where that tells
// nothing.
func findCopy(opts askOptions, abs string) (*located, error) {
	if !isDirectory(abs) {
		return nil, nil
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", abs, err)
	}
	f := &located{root: root, match: layout.Match{Type: layout.Dir, Name: filepath.Base(abs)}}
	f.row.Name = f.match.Name
	cfg, err := loadConfig(abs, opts.config)
	if err == nil {
		f.layout = layout.Recognise(cfg.AllLayouts(), root.FS())
	}
	if err != nil || f.layout == nil {
		f.Close() // it was only read
		return nil, err
	}
	f.run.Layout = f.layout.Name
	return f, nil
}

// findInRun finds a name or a view in the run at a directory, nil where it has
// none called so.
func findInRun(opts askOptions, dir, name string) (*located, error) {
	t, err := findTarget(dir)
	if err != nil {
		return nil, err
	}
	if !t.isMounted() {
		if known, err := couldBe(opts, t, name); err != nil || !known {
			return nil, err
		}
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
	at := slices.IndexFunc(all.Runs, func(r store.RunList) bool { return r.Path == t.sub })
	if at < 0 {
		return nil, nil
	}
	f := &located{run: all.Runs[at]}
	row := findRow(f.run.Checkpoints, name)
	if row == nil {
		return nil, nil
	}
	f.row = *row
	cfg, err := src.Config()
	if err != nil {
		return nil, err
	}
	if f.layout, err = layout.ByName(cfg.AllLayouts(), f.run.Layout); err != nil {
		return nil, err
	}
	if err := f.open(t.path(), name); err != nil {
		return nil, err
	}
	return f, nil
}

// couldBe reports whether a directory that is not mounted has a checkpoint or a
// view called so, by the names alone. It is asked before all that lies below the
// directory is looked at, which may be a home.
func couldBe(opts askOptions, t target, name string) (bool, error) {
	cfg, err := loadConfig(t.root, opts.config)
	if err != nil {
		return false, err
	}
	view, _, _ := strings.Cut(strings.TrimPrefix(name, "@"), "/")
	v := cfg.Views
	if view != "" && slices.Contains([]string{v.Latest, v.Resume, v.Best, v.ByEpoch, v.ByStep}, view) {
		return true, nil
	}
	entries, err := os.ReadDir(t.path())
	if err != nil {
		return false, fmt.Errorf("look into %s: %w", t.path(), err)
	}
	for _, e := range entries {
		isDir := e.IsDir() || e.Type()&fs.ModeSymlink != 0 && isDirectory(filepath.Join(t.path(), e.Name()))
		for _, l := range cfg.AllLayouts() {
			if m, ok := l.Match(e.Name(), isDir); ok && m.Name == name {
				return true, nil
			}
		}
	}
	return false, nil
}

// findRow is the row of a name, else the one that a view shows. The real name goes
// first, as in a mount.
func findRow(rows []store.CheckpointRow, name string) *store.CheckpointRow {
	there := func(row store.CheckpointRow) bool { // under its name
		return row.State != policy.History && row.State != policy.Trash && row.State != policy.Quarantine
	}
	at := slices.IndexFunc(rows, func(row store.CheckpointRow) bool { return row.Name == name && there(row) })
	if at < 0 {
		name = strings.TrimPrefix(name, "@")
		at = slices.IndexFunc(rows, func(row store.CheckpointRow) bool { return slices.Contains(row.Views, name) })
	}
	if at < 0 {
		return nil
	}
	return &rows[at]
}

// open finds the files. A view that is there shows them as they were committed;
// where there is none they lie under the checkpoint's name.
func (f *located) open(run, name string) error {
	dir, own := filepath.Join(run, name), filepath.Join(run, f.row.Name)
	isView := name != f.row.Name && isDirectory(dir)
	if !isView {
		if f.row.State == policy.History {
			return fmt.Errorf("%s is an earlier version of %s, which a mount shows; mount it first: ckptfs mount %s", dir, f.row.Name, run)
		}
		dir = own
	}
	if m, ok := f.layout.Match(f.row.Name, true); ok && isDirectory(own) {
		f.match = m
	} else if !isView {
		dir = run
	}
	var err error
	if f.root, err = os.OpenRoot(dir); err != nil {
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	if f.match.Type == layout.Dir {
		return nil
	}
	return f.pick(dir)
}

func isDirectory(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// pick finds the files of a checkpoint that is no directory.
func (f *located) pick(dir string) error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	for _, e := range entries {
		if m, ok := f.layout.Match(e.Name(), false); ok && m.Name == f.row.Name && e.Type().IsRegular() {
			f.match, f.mine = m, append(f.mine, e.Name())
		}
	}
	if err == nil && len(f.mine) == 0 {
		err = fmt.Errorf("no file of %s is there any more", f.row.Name)
	}
	if err != nil {
		f.Close() // it was only read
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	return nil
}

// picked is a directory of which some files are seen.
type picked struct {
	fs.FS
	names []string
}

// Open implements fs.FS.
func (p picked) Open(name string) (fs.File, error) {
	if name == "." || slices.Contains(p.names, name) {
		return p.FS.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements fs.ReadDirFS.
func (p picked) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(p.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !slices.Contains(p.names, e.Name()) }), err
}
