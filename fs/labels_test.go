package fs_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A mount has no labels of SELinux, and says so in a way that ls asks once and not
// at every name. Other attributes are those of the file.
func TestLabels(t *testing.T) {
	dir := copyRun(t)
	const label, other = "security.selinux", "user.note"
	file := dir + "/best_model/config.json"
	if err := unix.Setxattr(file, other, []byte("mine"), 0); err != nil {
		t.Skipf("the file system has no extended attributes: %v", err)
	}
	labelled := os.Geteuid() == 0 && unix.Setxattr(file, label, []byte("unlabeled"), 0) == nil
	m := mountOver(t, dir, "")
	for what, do := range map[string]func(p string) error{
		"get":    func(p string) error { _, err := unix.Getxattr(p, label, make([]byte, 100)); return err },
		"set":    func(p string) error { return unix.Setxattr(p, label, []byte("x"), 0) },
		"remove": func(p string) error { return unix.Removexattr(p, label) },
	} {
		if what != "get" && os.Geteuid() != 0 {
			continue // the kernel refuses it before it asks
		}
		for _, p := range []string{"best_model/config.json", "best_model", "latest/config.json", ""} {
			if err := do(m.path(p)); !errors.Is(err, unix.EOPNOTSUPP) {
				t.Errorf("%s of %q: %v", what, p, err)
			}
		}
	}
	buf := make([]byte, 1000)
	n, err := unix.Listxattr(m.path("best_model/config.json"), buf)
	if names := string(buf[:max(n, 0)]); err != nil || strings.Contains(names, label) || !strings.Contains(names, other+"\x00") {
		t.Errorf("of a file with a label (%v) it lists %q, %v", labelled, names, err)
	}
}
