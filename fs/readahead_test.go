package fs_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// Without passthrough a load comes in few requests, each of which fits into a pipe
// (P8).
func TestReadsAreLarge(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have the kernel read further ahead")
	}
	dir := t.TempDir()
	const size, ahead = 16 << 20, 512 << 10
	content := bytes.Repeat([]byte("checkpoint"), size/10+1)[:size]
	write(t, dir+"/file with a blank", string(content))
	m := mountOver(t, dir, "", "CKPTFS_TEST_DEBUG=1", "CKPTFS_TEST_NO_PASSTHROUGH=1")
	before := read(t, m.log)
	if got := read(t, m.path("file with a blank")); got != string(content) {
		t.Error("what was read is something else")
	}
	sent := strings.TrimPrefix(read(t, m.log), before)
	if n, most := strings.Count(sent, ": READ n"), size/ahead+8; n == 0 || n > most {
		t.Errorf("%d bytes were read in %d requests, want at most %d", size, n, most)
	}
}
