package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tight is the share of a file system below which the doctor warns of the space.
const tight = 0.05

// checkDirectory is about a directory, and the file system that it is on.
func checkDirectory(path string) []finding {
	t, err := findTarget(path)
	if err != nil {
		return []finding{found(failing, "directory", "%v", err)}
	}
	findings := []finding{checkConfig(t)}
	if t.isMounted() {
		findings = append(findings, checkDaemon(t))
	} else {
		findings = append(findings, checkFeatures(t.root)...)
	}
	return append(findings, checkSpace(t.root))
}

func checkConfig(t target) finding {
	if _, err := loadConfig(t.root, ""); err != nil {
		return found(failing, "config", "%v", err)
	}
	if _, err := os.Stat(filepath.Join(t.root, configName)); err != nil {
		return found(okay, "config", "defaults; ckptfs init %s writes a file", t.root)
	}
	return found(okay, "config", "%s", filepath.Join(t.root, configName))
}

func checkDaemon(t target) finding {
	rep, err := daemon(t.root).Status()
	switch {
	case err != nil:
		return found(failing, "daemon", "%v", err)
	case !rep.Passthrough:
		return found(info, "daemon", "process %d serves %s, without passthrough", rep.PID, t.root)
	}
	return found(okay, "daemon", "process %d serves %s, with passthrough", rep.PID, t.root)
}

func checkSpace(dir string) finding {
	sp, err := spaceOf(dir)
	switch {
	case err != nil:
		return found(failing, "space", "%v", err)
	case sp.Total > 0 && float64(sp.Free) < tight*float64(sp.Total):
		return found(warning, "space", "%s free of %s; ckptfs prune --dry-run %s says what could go", size(sp.Free), size(sp.Total), dir)
	}
	return found(okay, "space", "%s free of %s", size(sp.Free), size(sp.Total))
}

// checkFeatures tries out in a scratch directory what the store makes use of,
// and says what it does where a feature is not there.
func checkFeatures(dir string) []finding {
	scratch, err := os.MkdirTemp(dir, ".ckptfs-doctor-")
	if err != nil {
		return []finding{found(warning, "directory", "%v; only --read-only works here", err)}
	}
	defer os.RemoveAll(scratch) // what is left of it harms nobody
	features := []struct {
		name    string
		try     func(dir string) error
		without finding
	}{
		{"exchange", tryExchange, found(info, "exchange", "not there: a commit is two renames under a journal")},
		{"hard links", tryLink, found(info, "hard links", "not there: a save that changes one file copies the others")},
		{"reflink", tryReflink, found(info, "reflink", "not there: a file that is changed in place is copied first")},
		{"leases", tryLease, found(info, "leases", "not there: whether a file can still be written to is judged by its times")},
		{"xattrs", tryXattr, found(info, "xattrs", "not there: extended attributes of files are lost, as without ckptfs")},
	}
	var findings []finding
	for _, f := range features {
		if err := f.try(scratch); err != nil {
			findings = append(findings, f.without)
		} else {
			findings = append(findings, found(okay, f.name, "supported"))
		}
	}
	return findings
}

func tryExchange(dir string) error {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := errors.Join(os.Mkdir(a, 0o700), os.Mkdir(b, 0o700)); err != nil {
		return err
	}
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

func tryLink(dir string) error {
	f, err := os.CreateTemp(dir, "link")
	if err != nil {
		return err
	}
	defer f.Close()
	return os.Link(f.Name(), f.Name()+"-2")
}

func tryReflink(dir string) error {
	from, err := os.CreateTemp(dir, "reflink")
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.WriteString("reflink"); err != nil {
		return err
	}
	to, err := os.CreateTemp(dir, "reflink")
	if err != nil {
		return err
	}
	defer to.Close()
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
}

func tryLease(dir string) error {
	path := filepath.Join(dir, "lease")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	return nil
}

func tryXattr(dir string) error {
	return unix.Setxattr(dir, "user.ckptfs.doctor", []byte("1"), 0)
}
