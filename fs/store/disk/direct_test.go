package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

// What is read past the page cache is what is in the file, to its last byte, also
// what nobody has synced yet.
func TestDirect(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		want := bytes.Repeat([]byte("checkpoint "), size/11+1)[:size]
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if !Direct(f, true) {
			t.Logf("the file system of %s has no reads past the page cache; they go through it", t.TempDir())
		}
		buf := Aligned(size + 1)
		if at := uintptr(unsafe.Pointer(&buf[0])); at%alignment != 0 || len(buf)%alignment != 0 || len(buf) <= size {
			t.Errorf("a buffer for %d bytes has %d, at %#x", size, len(buf), at)
		}
		n, err := ReadOnce(f, buf, 0)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("of %d bytes %d were read, or others: %v", size, n, err)
		}
		if !Direct(f, false) {
			t.Error("reads cannot go through the page cache again")
		}
		if n, err := ReadOnce(f, make([]byte, 7), 0); err != nil || n != min(7, size) {
			t.Errorf("of 7 bytes %d were read: %v", n, err)
		}
	}
}
