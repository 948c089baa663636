package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// fsType is how the kernel lists the mounts of ckptfs.
const fsType = "fuse.ckptfs"

// mountEntry is one line of /proc/self/mountinfo.
type mountEntry struct {
	id     int
	point  string
	fstype string
	source string
}

// mounted lists what is mounted. It touches none of the mounts: a dead one
// answers with an error, and one that hangs not at all.
func mounted() ([]mountEntry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	defer f.Close()
	return parseMountinfo(f)
}

// parseMountinfo reads the format of proc_pid_mountinfo(5).
func parseMountinfo(r io.Reader) ([]mountEntry, error) {
	var list []mountEntry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // options and paths can be long
	for lines.Scan() {
		// 36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw
		before, after, found := strings.Cut(lines.Text(), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(place) < 6 || len(kind) < 1 {
			return nil, fmt.Errorf("list the mounts: %q is not as in proc_pid_mountinfo(5)", lines.Text())
		}
		id, err := strconv.Atoi(place[0])
		if err != nil {
			return nil, fmt.Errorf("list the mounts: %w", err)
		}
		m := mountEntry{id: id, point: unescape(place[4]), fstype: unescape(kind[0])}
		if len(kind) > 1 { // an empty source leaves nothing between the spaces
			m.source = unescape(kind[1])
		}
		list = append(list, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	return list, nil
}

// unescape undoes what the kernel does to the bytes that would end a field:
// \040 for a space, and so on.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ours reports whether it is a mount of ckptfs.
func (m mountEntry) ours() bool { return m.fstype == fsType }

// shows reports whether the mount shows dir: the file system's name is its
// backing directory, in which FUSE has no place for commas.
func (m mountEntry) shows(dir string) bool {
	return m.ours() && m.source == strings.ReplaceAll(dir, ",", "_")
}

// covering finds the mount that a path lies in. Of several on one point the
// last is on top.
func covering(list []mountEntry, path string) (top mountEntry) {
	for _, m := range list {
		if within(path, m.point) && len(m.point) >= len(top.point) {
			top = m
		}
	}
	return top
}

// mountAt finds the mount on top of a mountpoint.
func mountAt(list []mountEntry, point string) (mountEntry, bool) {
	m := covering(list, point)
	return m, m.point == point
}

// within reports whether path is dir or lies below it; both are clean.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
