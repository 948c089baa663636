package disk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Fits implements Disk. It asks for the space as the user would, in a file
// without a name, and gives it back. That takes a moment, so it is done only
// where a quota may be in force.
func (r *Root) Fits(op Op, dir string, size int64, uid, gid uint32) error {
	if size <= 0 || !r.quotas() {
		return nil
	}
	f, err := r.Open(op, dir, unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err == nil {
		defer f.Close()
		err = r.Fchown(op, f, int(uid), int(gid))
	}
	if err == nil {
		Apart(func() {
			if err = Become(uid, gid); err == nil {
				err = again(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size) })
			}
		})
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return wrap(op, "ask for space", dir, err)
	}
	return nil
}

// quotas reports whether the file system may have quotas that statfs(2) does not
// tell of: btrfs may for every subvolume, others say so in their mount options.
func (r *Root) quotas() bool {
	r.quotaOnce.Do(func() {
		st, err := r.Statfs()
		if err != nil {
			return
		}
		if st.Type == unix.BTRFS_SUPER_MAGIC {
			r.hasQuotas = true
			return
		}
		here, err := Fstat(r.Fd())
		mounts, readErr := os.ReadFile("/proc/self/mountinfo")
		if err == nil && readErr == nil {
			r.hasQuotas = quotaIn(string(mounts), here.Dev)
		}
	})
	return r.hasQuotas
}

// quotaIn looks in a mountinfo for a device that is mounted with quotas of users
// or groups. (Those of projects show in statfs.)
func quotaIn(mountinfo string, dev uint64) bool {
	device := fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 3 || fields[2] != device || len(super) < 3 {
			continue
		}
		for _, option := range strings.Split(super[2], ",") {
			name, _, _ := strings.Cut(option, "=")
			if slices.Contains([]string{"quota", "usrquota", "grpquota", "uquota", "gquota", "usrjquota", "grpjquota"}, name) {
				return true
			}
		}
	}
	return false
}
