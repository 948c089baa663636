package main

import (
	"os"
	"path/filepath"
	"testing"

	"ckptfs/fs/store"
)

func TestHolds(t *testing.T) {
	tests := []struct {
		sub, run string
		want     bool
	}{
		{".", ".", true},
		{".", "codebert", true},
		{"codebert", "codebert", true},
		{"codebert", "codebert/seed1", true},
		{"codebert", ".", false},
		{"codebert", "codebert2", false},
		{"codebert/seed1", "codebert", false},
	}
	for _, tt := range tests {
		if got := (target{sub: tt.sub}).holds(tt.run); got != tt.want {
			t.Errorf("a target at %q holds run %q: %v", tt.sub, tt.run, got)
		}
	}
}

// TestFindTargetOffline: the directory that ckptfs has worked on is the root,
// whatever PATH below it is given and however it is spelled.
func TestFindTargetOffline(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"worked/" + store.Private, "worked/codebert", "bare/codebert"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("worked/codebert", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ path, root, sub string }{
		{"worked", "worked", "."},
		{"worked/codebert", "worked", "codebert"},
		{"worked/codebert/../codebert/", "worked", "codebert"},
		{"link", "worked", "codebert"},
		{"bare/codebert", "bare/codebert", "."},
	}
	for _, tt := range tests {
		got, err := findTarget(filepath.Join(root, tt.path))
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		if got.root != filepath.Join(root, tt.root) || got.sub != tt.sub || got.isMounted() {
			t.Errorf("%s is %q below %q, want %q below %q", tt.path, got.sub, got.root, tt.sub, tt.root)
		}
	}
}

func TestWord(t *testing.T) {
	for path, want := range map[string]string{
		"codebert/last_checkpoint": "codebert/last_checkpoint",
		"my run/last_checkpoint":   `"my run/last_checkpoint"`,
		`a"b`:                      `"a\"b"`,
		"a\nb":                     `"a\nb"`,
	} {
		if got := word(path); got != want {
			t.Errorf("word(%q) = %s, want %s", path, got, want)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.9.0": true, "6.9-rc1": true, "6.18.44-generic": true, "7.0": true,
		"6.8.12": false, "5.15.0-91-generic": false, "": false, "linux": false,
	} {
		if got := atLeast(release, 6, 9); got != want {
			t.Errorf("%q is at least 6.9: %v", release, got)
		}
	}
}
