package powercut

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// hostDir is a directory on XFS, which can take a reflink of an image while it is
// written to. It is made once, in a file that has no name any more: nothing of
// it can be left behind.
func hostDir(t *testing.T) string {
	t.Helper()
	dir, err := host()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sub) })
	return sub
}

const hostSize = 32 << 30 // what is used of it is a few GB

var host = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.Getenv(scratchVar), "host")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(os.Getenv(scratchVar), "host.img")
	defer os.Remove(file)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(file, hostSize); err != nil {
		return "", err
	}
	device, err := attach(file, false)
	if err != nil {
		return "", err
	}
	defer device.close() // the mount keeps it
	if err := xfs.make(device.path()); err != nil {
		return "", err
	}
	return dir, xfs.mount(device.path(), dir)
})
