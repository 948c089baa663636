package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holder is a process that uses something at or below a directory.
type holder struct {
	pid     int
	command string
	how     string // "working directory", "open file", "mapped file"
	path    string
}

func (h holder) String() string {
	return fmt.Sprintf("process %d (%s) has %s as its %s", h.pid, h.command, h.path, h.how)
}

// anyMount makes holders look by path alone.
const anyMount = 0

// holders finds the processes that use dir or what lies below it, as far as the
// caller may see them; one line of each. With the id of a mount it leaves out
// those that are at work beneath it, whose paths look the same.
func holders(dir string, mount int) []holder {
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil // only for a bad pattern
	}
	var found []holder
	for _, proc := range list {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if h, ok := answers(func() (holder, bool) { return holds(proc, dir, mount) }); ok {
			h.pid, h.command = pid, commandOf(proc)
			found = append(found, h)
		}
	}
	return found
}

// lookBound is how long one process may take to be looked at.
const lookBound = 250 * time.Millisecond

// answers waits for a look at a process no longer than that. In execve the kernel
// keeps most of /proc/PID locked, and it stays so for as long as a file system
// does not let the process close a file: a stuck process anywhere on the machine
// would keep every mount and unmount from happening.
func answers(look func() (holder, bool)) (holder, bool) {
	type answer struct {
		holder
		ok bool
	}
	said := make(chan answer, 1)
	go func() {
		h, ok := look()
		said <- answer{h, ok}
	}()
	select {
	case a := <-said:
		return a.holder, a.ok
	case <-time.After(lookBound):
		return holder{}, false
	}
}

// holds finds the first thing of a process that lies in dir.
func holds(proc, dir string, mount int) (holder, bool) {
	links := []struct{ glob, how string }{
		{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "program"}, {"fd/*", "open file"},
	}
	for _, l := range links {
		paths, err := filepath.Glob(filepath.Join(proc, l.glob))
		if err != nil {
			continue // only for a bad pattern
		}
		for _, link := range paths {
			path, err := os.Readlink(link)
			if err == nil && within(path, dir) && (mount == anyMount || mountOf(link) == mount) {
				return holder{how: l.how, path: path}, true
			}
		}
	}
	f, err := os.Open(filepath.Join(proc, "maps"))
	if err != nil {
		return holder{}, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 7f00-7f10 r--s 00000000 00:31 1234    /path, which may hold spaces
		if _, path, ok := strings.Cut(lines.Text(), " /"); ok && within("/"+path, dir) {
			return holder{how: "mapped file", path: "/" + path}, true
		}
	}
	return holder{}, false
}

// mountOf is the id of the mount that a link of /proc leads to, 0 when the
// kernel does not say. It does not ask the file system behind it.
func mountOf(link string) int {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return int(st.Mnt_id)
}

// commandOf is how a process was started, in few words.
func commandOf(proc string) string {
	b, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || len(b) == 0 {
		b, _ = os.ReadFile(filepath.Join(proc, "comm")) // empty when it is gone meanwhile
	}
	words := strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
	if len(words) > 60 {
		words = words[:60] + "…"
	}
	return words
}
