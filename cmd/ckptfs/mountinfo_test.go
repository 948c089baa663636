package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:31 / /data/my\040run rw,nosuid shared:7 master:1 - fuse.ckptfs /data/my\040run rw,user_id=0
31 27 0:32 / /mnt/tab\011line\012back\134slash\043 rw - fuse.ckptfs /data/a_b rw
32 27 0:33 / /empty rw - tmpfs  rw
33 30 0:34 / /data/my\040run rw - fuse.sshfs host: rw
34 27 0:35 /sub /mnt/odd\9name rw - ext4 /dev/vdb rw
`

func TestParseMountinfo(t *testing.T) {
	got, err := parseMountinfo(strings.NewReader(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	want := []mountEntry{
		{22, "/proc", "proc", "proc"},
		{27, "/", "ext4", "/dev/vda"},
		{30, "/data/my run", "fuse.ckptfs", "/data/my run"},
		{31, "/mnt/tab\tline\nback\\slash#", "fuse.ckptfs", "/data/a_b"},
		{32, "/empty", "tmpfs", "rw"},
		{33, "/data/my run", "fuse.sshfs", "host:"},
		{34, `/mnt/odd\9name`, "ext4", "/dev/vdb"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mountEntry{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseMountinfoRefuses(t *testing.T) {
	for _, line := range []string{"", "27 1 254:0 / / rw", "27 1 / rw - ext4 /dev/vda rw", "x 1 254:0 / / rw - ext4 /dev/vda rw"} {
		if got, err := parseMountinfo(strings.NewReader(line + "\n")); err == nil {
			t.Errorf("%q was read as %v", line, got)
		}
	}
}

func TestCovering(t *testing.T) {
	list := []mountEntry{
		{1, "/", "ext4", "a"}, {2, "/data", "ext4", "b"}, {3, "/data/run", fsType, "/data/run"}, {4, "/data", "xfs", "c"},
	}
	for path, want := range map[string]int{
		"/": 1, "/etc": 1, "/database": 1,
		"/data": 4, "/data/other": 4, // the later one on the same point is on top
		"/data/run": 3, "/data/run/last_checkpoint": 3, "/data/run2": 4,
	} {
		if got := covering(list, path); got.id != want {
			t.Errorf("%s lies in mount %d, want %d", path, got.id, want)
		}
	}
}

func TestShows(t *testing.T) {
	m := mountEntry{fstype: fsType, source: "/data/a_b"}
	for dir, want := range map[string]bool{"/data/a_b": true, "/data/a,b": true, "/data/a": false} {
		if got := m.shows(dir); got != want {
			t.Errorf("shows(%q) = %v", dir, got)
		}
	}
	if m.fstype = "fuse.sshfs"; m.shows("/data/a_b") {
		t.Error("a mount that is not of ckptfs shows a directory")
	}
}

// FuzzUnescape: a path comes back from what the kernel writes for it.
func FuzzUnescape(f *testing.F) {
	for _, path := range []string{"/data", "/my run", "/tab\t\n", `/back\slash`, `/\040`, "/#", ""} {
		f.Add(path)
	}
	mangle := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)
	f.Fuzz(func(t *testing.T, path string) {
		if got := unescape(mangle.Replace(path)); got != path {
			t.Errorf("%q came back as %q", path, got)
		}
	})
}
