package fs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// notPosix are the cases of go-fuse's suite that are left out, and why.
var notPosix = map[string]string{
	"FcntlFlockLocksFile": "wants two descriptors of one process to conflict; POSIX and ext4 let them agree. " +
		"Locks stay with the kernel here, where they behave as on ext4",
}

// Two more leave themselves out: Tmpfile, because O_TMPFILE is refused (a file
// without a name cannot be told to belong to a checkpoint), and XAttrLarge where
// the backing file system, such as ext4, has no attributes of 8 KiB.

// P5: the trainer sees POSIX, outside checkpoints and inside one.
func TestPosix(t *testing.T) {
	for _, where := range []string{"logs", "checkpoint_epoch1_step4", "checkpoint_epoch1_step4/sub"} {
		t.Run(filepath.Base(where), func(t *testing.T) {
			m := mountOver(t, t.TempDir(), "")
			for name, test := range posixtest.All {
				t.Run(name, func(t *testing.T) {
					if why := notPosix[name]; why != "" {
						t.Skip(why)
					}
					dir := m.path(where)
					if err := os.MkdirAll(dir, 0o755); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						if err := os.RemoveAll(m.path(where)); err != nil {
							t.Errorf("clean up: %v", err)
						}
					})
					test(t, dir)
				})
			}
		})
	}
}
