package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// target is what PATH means: a mount or a plain directory, and how far below
// its root PATH lies.
type target struct {
	mount mountEntry // its point is "" where nothing is mounted
	root  string     // the root of the mount, or the directory; absolute
	sub   string     // PATH below the root, "." for the root itself
	arg   string     // PATH as it was given
}

func (t target) isMounted() bool { return t.mount.point != "" }

// path is PATH again, absolute.
func (t target) path() string { return filepath.Join(t.root, t.sub) }

// given is PATH as it was given, for messages with commands to type.
func (t target) given() string { return cmp.Or(t.arg, t.path()) }

// holds reports whether a run, named as in the reports, is the one that PATH
// names or lies below it.
func (t target) holds(run string) bool {
	return t.sub == "." || within(run, t.sub)
}

// findTarget works out what a PATH means, without touching a mount whose daemon
// may be gone.
func findTarget(arg string) (target, error) {
	t, err := targetOf(arg)
	t.arg = arg
	return t, err
}

func targetOf(arg string) (target, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return target{}, fmt.Errorf("%s: %w", arg, err)
	}
	list, err := mounted()
	if err != nil {
		return target{}, err
	}
	if m := covering(list, abs); m.ours() {
		return mountTarget(m, abs)
	}
	real, err := directory(abs)
	if err != nil {
		return target{}, err
	}
	if m := covering(list, real); m.ours() {
		return mountTarget(m, real)
	}
	return offlineTarget(list, real), nil
}

func mountTarget(m mountEntry, abs string) (target, error) {
	if err := m.healthy(); err != nil {
		return target{}, err
	}
	if _, err := directory(abs); err != nil {
		return target{}, err
	}
	sub, err := filepath.Rel(m.point, abs)
	if err != nil {
		return target{}, err
	}
	return target{mount: m, root: m.point, sub: sub}, nil
}

// offlineTarget is about a directory with nothing mounted over it. It may still
// be mounted somewhere else; then that mount answers.
func offlineTarget(list []mountEntry, real string) target {
	t := target{root: real, sub: "."}
	for dir := real; ; dir = filepath.Dir(dir) {
		sub, err := filepath.Rel(dir, real)
		if err != nil {
			return t // Rel of an ancestor has no way to fail
		}
		if i := slices.IndexFunc(list, func(m mountEntry) bool { return m.shows(dir) && m.health() == alive }); i >= 0 {
			return target{mount: list[i], root: list[i].point, sub: sub}
		}
		if hasPrivate(dir) {
			return target{root: dir, sub: sub}
		}
		if dir == filepath.Dir(dir) {
			return t
		}
	}
}

// hasPrivate reports whether ckptfs has worked on a directory.
func hasPrivate(dir string) bool {
	st, err := os.Stat(filepath.Join(dir, store.Private))
	return err == nil && st.IsDir()
}

var errNoDirectory = errors.New("no such directory")

// directory resolves the symbolic links of a path, which must be a directory.
func directory(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		var st os.FileInfo
		if st, err = os.Stat(real); err == nil && !st.IsDir() {
			return "", fmt.Errorf("%s: not a directory", path)
		}
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%s: %w", path, errNoDirectory)
	case errors.Is(err, unix.ENOTDIR):
		return "", fmt.Errorf("%s: not a directory", path)
	case errors.Is(err, unix.ENOTCONN):
		return "", fmt.Errorf("%s: what is mounted there is dead; unmount it first: umount -l %s", path, path)
	}
	return real, err
}
