package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/layout"
)

// verifyPath verifies what a PATH means: a run or a directory of runs, else a
// checkpoint or a view of the run above it, else a copy of a checkpoint that lies
// somewhere else.
func verifyPath(ctx context.Context, notes io.Writer, opts verifyOptions, arg string, into *verification) error {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return fmt.Errorf("%s: %w", arg, err)
	}
	if isDirectory(abs) {
		t, err := findTarget(abs)
		if err != nil {
			return err
		}
		if found, err := verifyIn(ctx, notes, opts, t, t.sub, into); found || err != nil {
			return err
		}
	}
	for dir, levels := filepath.Dir(abs), 0; levels < 2; dir, levels = filepath.Dir(dir), levels+1 {
		name, err := filepath.Rel(dir, abs)
		if err != nil {
			return err
		}
		if !isDirectory(dir) {
			continue // by-epoch/ where nothing is mounted
		}
		t, err := findTarget(dir)
		if err != nil {
			return err
		}
		if !t.isMounted() {
			if known, err := couldBe(opts.askOptions, t, name); err != nil || !known {
				return errors.Join(err, verifyCopy(opts, arg, abs, into))
			}
		}
		if found, err := verifyIn(ctx, notes, opts, t, path.Join(t.sub, name), into); found || err != nil {
			return err
		}
	}
	return verifyCopy(opts, arg, abs, into)
}

// verifyIn verifies what lies at a path of a target; found says that there is
// something.
func verifyIn(ctx context.Context, notes io.Writer, opts verifyOptions, t target, sub string, into *verification) (found bool, err error) {
	src, err := workOrLook(t, opts.config, notes)
	if err != nil {
		return false, err
	}
	o := store.VerifyOptions{Path: strings.TrimPrefix(path.Clean(sub), "."), Deep: opts.deep, History: opts.all, Trash: opts.all, Again: opts.again}
	if sub != "." {
		o.Path = path.Clean(sub)
	}
	bar := verifyProgress(notes, opts)
	o.Progress = func(at store.VerifyProgress) { tellProgress(bar, at) }
	rep, err := src.Verify(ctx, o)
	bar.clear()
	if closed := src.Close(); err == nil {
		err = closed
	}
	into.add(t.root, rep)
	if !t.isMounted() && !hasPrivate(t.root) && slices.ContainsFunc(rep.Checkpoints, func(v store.Verified) bool { return len(v.Damage()) > 0 }) {
		fmt.Fprintf(notes, "ckptfs: note: nothing was marked: ckptfs has never been at work in %s\n", t.root)
	}
	return len(rep.Checkpoints) > 0, err
}

// workOrLook opens a target to change it if it can be changed. Where ckptfs was
// never at work, nothing is left behind either: no mark, and nothing to go on with.
func workOrLook(t target, config string, notes io.Writer) (source, error) {
	if t.isMounted() {
		return work(t, config)
	}
	if !hasPrivate(t.root) {
		return look(t, config)
	}
	src, err := work(t, config)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		fmt.Fprintf(notes, "ckptfs: note: %s cannot be written to: what is found is not written down\n", t.root)
		return look(t, config)
	}
	return src, err
}

// verifyCopy verifies a checkpoint that lies in no run.
func verifyCopy(opts verifyOptions, arg, abs string, into *verification) error {
	f, err := findCopy(opts.askOptions, abs)
	if err != nil {
		return err
	}
	if f == nil {
		return nothingError("%s holds no checkpoint, and is none; ckptfs ls lists those of a run", arg)
	}
	defer f.Close() // it was only read
	look := f.layout.Inspect
	if opts.deep {
		look = f.layout.Verify
	}
	report, err := look(f.files(), layout.Match{Type: layout.Dir, Name: f.row.Name})
	if err != nil {
		return fmt.Errorf("look into %s: %w", arg, err)
	}
	one := store.VerifyCopy(report, f.row.Name, opts.deep)
	into.add(filepath.Dir(abs), store.VerifyReport{Checkpoints: []store.Verified{one}, Files: len(one.Files), FilesDone: len(one.Files)})
	return nil
}
