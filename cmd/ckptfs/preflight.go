package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// preflight works out what a mount command asks for, and refuses what cannot
// work with the way out of it. A mount that a killed ckptfs left is taken away.
func preflight(opts mountOptions, args []string, notes io.Writer) (request, error) {
	req := request{mountOptions: opts}
	dir, err := freeDirectory(args[0], notes)
	if err != nil {
		return req, err
	}
	req.dir, req.point = dir, dir
	if len(args) == 2 {
		if req.point, err = freeDirectory(args[1], notes); err != nil {
			return req, err
		}
	}
	if err := apart(req); err != nil {
		return req, err
	}
	if req.pprof != "" {
		if req.pprof, err = profileTarget(req.pprof); err != nil {
			return req, err
		}
	}
	if err := notMounted(req.dir); err != nil {
		return req, err
	}
	if err := writable(req); err != nil {
		return req, err
	}
	if req.cfg, err = loadConfig(req.dir, req.config); err != nil {
		return req, err
	}
	if req.layout != "" {
		if _, err := layout.ByName(req.cfg.AllLayouts(), req.layout); err != nil && req.layout != "auto" {
			return req, usageError("mount: %w", err)
		}
		req.cfg.Layout = req.layout
	}
	return req, fuseUsable(req.allowOther)
}

// freeDirectory resolves a path that something is to be mounted at, or from: a
// directory with no ckptfs on it.
func freeDirectory(arg string, notes io.Writer) (string, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return "", fmt.Errorf("%s: %w", arg, err)
	}
	if err := clearPoint(abs, notes); err != nil {
		return "", err
	}
	real, err := directory(abs)
	if errors.Is(err, errNoDirectory) {
		return "", fmt.Errorf("%w; create it first: mkdir -p %s", err, abs)
	}
	if err == nil && real != abs {
		err = clearPoint(real, notes)
	}
	return real, err
}

// clearPoint refuses a path in a live mount of ckptfs, and takes a dead one
// away. A dead mount of anything else is not ours to touch.
func clearPoint(path string, notes io.Writer) error {
	list, err := mounted()
	if err != nil {
		return err
	}
	m := covering(list, path)
	if !strings.HasPrefix(m.fstype, "fuse") {
		return nil
	}
	switch state := m.health(); {
	case state == alive && m.ours():
		return mountedError(m, path)
	case state == alive:
		return nil
	case state == dead && m.ours() && m.point == path:
		fmt.Fprintf(notes, "ckptfs: note: the ckptfs that had %s mounted was killed; its mount is replaced\n", path)
		return detach(m.point)
	case m.ours():
		return m.healthy()
	}
	return fmt.Errorf("%s: what is mounted there (%s) is dead or does not answer; unmount it first: umount -l %s", m.point, m.fstype, m.point)
}

func mountedError(m mountEntry, path string) error {
	by := ""
	if rep, err := daemon(m.point).Status(); err == nil {
		by = fmt.Sprintf(" by process %d", rep.PID)
	}
	if path != m.point {
		return fmt.Errorf("%s lies in %s, which is mounted already%s; every run below it has its views", path, m.point, by)
	}
	return fmt.Errorf("%s is mounted already%s; to stop it: ckptfs umount %s", m.point, by, m.point)
}

// notMounted refuses a directory that is shown somewhere else already.
func notMounted(dir string) error {
	list, err := mounted()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(m mountEntry) bool { return m.shows(dir) })
	if i < 0 {
		return nil
	}
	return fmt.Errorf("%s is mounted already, at %s; to stop it: ckptfs umount %s", dir, list[i].point, list[i].point)
}

// apart refuses a mountpoint that would hide the backing directory, or that
// would show up in itself.
func apart(req request) error {
	switch {
	case req.point == req.dir:
		return nil
	case within(req.point, req.dir):
		return fmt.Errorf("the mountpoint %s lies below %s and would show up in itself; choose one outside, or give none to mount over the directory", req.point, req.dir)
	case within(req.dir, req.point):
		return fmt.Errorf("the mountpoint %s would hide %s, which lies below it; choose another, or give none to mount over the directory", req.point, req.dir)
	}
	return nil
}

// writable refuses a directory in which nothing can be saved.
func writable(req request) error {
	if req.readOnly {
		return nil
	}
	switch err := unix.Access(req.dir, unix.W_OK|unix.X_OK); {
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s is on a read-only file system; add --read-only to mount it for reading", req.dir)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s is not writable for you; change its permissions, or add --read-only to mount it for reading", req.dir)
	case err != nil:
		return fmt.Errorf("%s: %w", req.dir, err)
	}
	return nil
}

// fuseUsable refuses where FUSE is not there, with what to install.
func fuseUsable(allowOther bool) error {
	if err := fuseDevice(); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := fusermount(); err != nil {
		return err
	}
	if allowOther && !userAllowOther() {
		return errors.New("--allow-other is for root; to allow it to everybody: echo user_allow_other >> /etc/fuse.conf")
	}
	return nil
}

func fuseDevice() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, os.ErrPermission) && os.Geteuid() != 0:
		return errors.New("FUSE is not usable: /dev/fuse is not open to you, as it usually is to everybody; as root: chmod 666 /dev/fuse")
	case errors.Is(err, os.ErrNotExist):
		return errors.New("FUSE is not there (/dev/fuse): apt-get install fuse3 and modprobe fuse; in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN")
	}
	return fmt.Errorf("FUSE is not usable: %w; apt-get install fuse3; in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN", err)
}

// fusermount finds the helper that mounts and unmounts for those who are not root.
func fusermount() (string, error) {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("fusermount3 is missing, without which only root can mount: apt-get install fuse3")
}

// userAllowOther reports whether those who are not root may use allow_other.
func userAllowOther() bool {
	b, err := os.ReadFile("/etc/fuse.conf")
	return err == nil && slices.ContainsFunc(strings.Split(string(b), "\n"), func(line string) bool {
		return strings.TrimSpace(line) == "user_allow_other"
	})
}
