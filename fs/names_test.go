package fs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listed names the entries of a directory in the order in which it tells them.
func listed(t *testing.T, dir string) []string {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A view is there when it resolves, and only then; what is private is never
// shown.
func TestViewsAreAbsentWhileNothingResolves(t *testing.T) {
	m := mountOver(t, t.TempDir(), "save: {settle: 10ms}\n")
	for _, name := range []string{"latest", "resume", "best", "by-epoch", "by-step", "@latest"} {
		if _, err := os.Stat(m.path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names := listed(t, m.mnt); len(names) > 0 {
		t.Errorf("an empty directory lists %q", names)
	}
	if err := writeAll(m.path("checkpoint_epoch1_step1"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "latest/ is there", func() bool { return exists(m.path("latest")) })
	if exists(m.path("best")) {
		t.Error("best/ resolves to something")
	}
	if names := listed(t, m.mnt); !slices.Contains(names, "latest") || slices.Contains(names, "best") || slices.Contains(names, ".ckptfs") {
		t.Errorf("it lists %q", names)
	}
	if err := os.RemoveAll(m.path("checkpoint_epoch1_step1")); err != nil {
		t.Fatal(err)
	}
	if exists(m.path("latest")) || exists(m.path("by-epoch/1")) {
		t.Error("deleted, it is still in a view")
	}
}

// A real entry shadows a view of its name; the view is then at @name. DeepSpeed
// writes a file "latest".
func TestRealEntriesShadowViews(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	if got := target(t, m.path("@latest")); got != "checkpoint_epoch3_step4" {
		t.Errorf("not shadowed, @latest is %s", got)
	}
	// While the view has the name the kernel finds a directory, as it would anywhere.
	if err := os.WriteFile(m.path("latest"), nil, 0o644); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a file under the name of a view: %v", err)
	}
	m.stop()
	if err := os.WriteFile(filepath.Join(m.back, "latest"), []byte("global_step24"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.start()
	if got := read(t, m.path("latest")); got != "global_step24" {
		t.Errorf("latest is %q", got)
	}
	if got := target(t, m.path("@latest")); got != "checkpoint_epoch3_step4" {
		t.Errorf("@latest is %s", got)
	}
	if names := listed(t, m.mnt); !slices.Contains(names, "@latest") || !slices.Contains(names, "latest") {
		t.Errorf("it lists %q", names)
	}
	if err := os.Remove(m.path("latest")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view has its name back", func() bool {
		st, err := os.Lstat(m.path("latest"))
		return err == nil && st.IsDir()
	})
}

// The configuration renames views, hides them, and makes them links.
func TestViewsByConfiguration(t *testing.T) {
	for _, c := range []struct {
		name, config string
		there        map[string]string // what leads to which checkpoint
		absent       []string
		listed       []string // the views in a listing, in order
		links        bool
	}{
		{"renamed", "views: {latest: newest, by-epoch: epochs}\n",
			map[string]string{"newest": "checkpoint_epoch3_step4", "epochs/2": "last_checkpoint", "resume": "last_checkpoint"},
			[]string{"latest", "by-epoch"}, []string{"newest", "resume", "best", "epochs", "by-step"}, false},
		{"hidden altogether", "views: {best: \"\", by-step: \"\"}\n",
			map[string]string{"latest": "checkpoint_epoch3_step4"}, []string{"best", "by-step"}, []string{"latest", "resume", "by-epoch"}, false},
		{"hidden in listings", "views: {listed: never}\n",
			map[string]string{"latest": "checkpoint_epoch3_step4", "by-epoch/1": "checkpoint_epoch1_step8"}, nil, nil, false},
		{"links", "views: {style: symlink}\n",
			map[string]string{"latest": "checkpoint_epoch3_step4", "by-epoch/2": "last_checkpoint"}, nil,
			[]string{"latest", "resume", "best", "by-epoch", "by-step"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyRun(t)
			real := len(listed(t, dir))
			m := mountOver(t, dir, c.config)
			for name, want := range c.there {
				if got := target(t, m.path(name)); got != want {
					t.Errorf("%s leads to %s, want %s", name, got, want)
				}
				to, err := os.Readlink(m.path(name))
				if c.links && (err != nil || filepath.Base(to) != want) {
					t.Errorf("%s is a link to %q, %v", name, to, err)
				} else if !c.links && err == nil {
					t.Errorf("%s is a link", name)
				}
			}
			for _, name := range c.absent {
				if exists(m.path(name)) {
					t.Errorf("%s is there", name)
				}
			}
			if names := listed(t, m.mnt); !slices.Equal(names[real:], c.listed) {
				t.Errorf("after the real entries it lists %q, want %q", names[real:], c.listed)
			}
		})
	}
}

// What the extended attributes tell.
func TestXattrs(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	for p, want := range map[string]map[string]string{
		"last_checkpoint": {"target": "last_checkpoint", "kind": "last", "epoch": "2", "step": "0", "state": "committed"},
		"latest":          {"target": "checkpoint_epoch3_step4", "kind": "mid_epoch", "epoch": "3", "step": "4", "state": "committed"},
		"by-epoch/2":      {"target": "last_checkpoint", "kind": "last", "epoch": "2", "step": "0", "state": "committed"},
		"best_model":      {"kind": "best"},
	} {
		for attr, value := range want {
			if got := about(t, m.path(p), attr); got != value {
				t.Errorf("%s of %s is %q, want %q", attr, p, got, value)
			}
		}
	}
	if a, b := about(t, m.path("resume"), "version"), about(t, m.path("last_checkpoint"), "version"); a == "" || a != b {
		t.Errorf("resume/ is version %q, its checkpoint %q", a, b)
	}
	if err := os.MkdirAll(m.path("checkpoint_epoch4_step1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := state(t, m.path("checkpoint_epoch4_step1")); got != "saving" && got != "incomplete" {
		t.Errorf("an open save is %q", got)
	}
	if about(t, m.path("checkpoint_epoch4_step1"), "reason") == "" {
		t.Error("and has no reason")
	}
	if err := unix.Setxattr(m.path("last_checkpoint"), "user.ckptfs.state", []byte("invalid"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("setxattr: %v", err)
	}
}

// Changes inside a view, and of its name, are refused with the errno of a
// read-only file system; nothing comes of them.
func TestViewsAreReadOnly(t *testing.T) {
	m := mountOver(t, copyRun(t), "")
	for name, do := range map[string]func() error{
		"write":        func() error { return os.WriteFile(m.path("latest/config.json"), nil, 0) },
		"create":       func() error { return os.WriteFile(m.path("latest/new"), nil, 0o644) },
		"mkdir inside": func() error { return os.Mkdir(m.path("latest/new"), 0o755) },
		"unlink":       func() error { return unix.Unlink(m.path("latest/config.json")) },
		"rmdir of it":  func() error { return unix.Rmdir(m.path("latest")) },
		"rename of it": func() error { return os.Rename(m.path("latest"), m.path("other")) },
		"rename in it": func() error { return os.Rename(m.path("latest/config.json"), m.path("latest/other")) },
		"rename out":   func() error { return os.Rename(m.path("latest/config.json"), m.path("other")) },
		"chmod":        func() error { return os.Chmod(m.path("latest/config.json"), 0o600) },
		"truncate":     func() error { return os.Truncate(m.path("latest/config.json"), 0) },
		"symlink":      func() error { return os.Symlink("x", m.path("latest/new")) },
		"link":         func() error { return os.Link(m.path("logs.txt"), m.path("latest/new")) },
		"in an index":  func() error { return os.Mkdir(m.path("by-epoch/9"), 0o755) },
		"of an index":  func() error { return unix.Rmdir(m.path("by-epoch")) },
		"set a time":   func() error { return os.Chtimes(m.path("latest"), time.Now(), time.Now()) },
		"set an xattr": func() error { return unix.Setxattr(m.path("latest/config.json"), "user.x", []byte("x"), 0) },
	} {
		if name == "link" {
			if err := os.WriteFile(m.path("logs.txt"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := do(); !errors.Is(err, unix.EROFS) && !(name == "link" && errors.Is(err, unix.EXDEV)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Mkdir(m.path("latest"), 0o755); !errors.Is(err, unix.EEXIST) {
		t.Errorf("mkdir of its name: %v", err)
	}
	if _, err := load(m.path("latest")); err != nil {
		t.Error(err)
	}
}

// Who stands in a live directory goes on standing there, through a save and its
// commit.
func TestWorkingDirectorySurvivesACommit(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	cmd := exec.Command("sh", "-c", "read go; pwd; cat config.json; ls")
	cmd.Dir = m.path("last_checkpoint")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := writeAll(m.path("last_checkpoint"), "000001"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is committed", func() bool { token, _ := load(m.path("resume")); return token == "000001" })
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got := out.String(); !strings.Contains(got, m.path("last_checkpoint")) || !strings.Contains(got, "000001") || !strings.Contains(got, "training_state.pth") {
		t.Errorf("it sees %s", got)
	}
}
