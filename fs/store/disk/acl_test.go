package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What a default list hands down is what the kernel makes of it, for every mode.
func TestInheritIsTheKernels(t *testing.T) {
	r, dir := newRoot(t)
	unnamed := ^uint32(0)
	lists := map[string]ACL{
		"only modes": {{aclUserObj, 6, unnamed}, {aclGroupObj, 5, unnamed}, {aclOther, 4, unnamed}},
		"a user":     {{aclUserObj, 7, unnamed}, {aclUser, 5, 1234}, {aclGroupObj, 3, unnamed}, {aclMask, 6, unnamed}, {aclOther, 1, unnamed}},
		"a group":    {{aclUserObj, 5, unnamed}, {aclGroupObj, 7, unnamed}, {aclGroup, 6, 1234}, {aclMask, 3, unnamed}, {aclOther, 0, unnamed}},
		"no more":    {{aclUserObj, 6, unnamed}, {aclGroupObj, 6, unnamed}, {aclMask, 4, unnamed}, {aclOther, 4, unnamed}},
	}
	defer unix.Umask(unix.Umask(0))
	for name, list := range lists {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := r.Setxattr("test", name, DefaultACL, list.Bytes(), 0); err != nil {
			t.Skipf("the file system has no access control lists: %v", err)
		}
		for mode := uint32(0); mode < 0o1000; mode++ {
			file := fmt.Sprintf("%s/%o", name, mode)
			f, err := r.Open("test", file, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			access, left := list.Inherit(mode)
			if st, err := r.Stat(file); err != nil || st.Mode&0o7777 != left {
				t.Errorf("%s: mode %o becomes %o, %v; we say %o", name, mode, st.Mode, err, left)
			}
			buf := make([]byte, 256)
			n, _ := r.Getxattr(file, AccessACL, buf) // an error is none
			want := buf[:max(n, 0)]
			if got := access.Bytes(); access == nil && len(want) != 0 || access != nil && !bytes.Equal(got, want) {
				t.Errorf("%s: mode %o gives %x, we say %x", name, mode, want, got)
			}
		}
	}
}

// FuzzParseACL: an attribute is refused, or comes back as it was.
func FuzzParseACL(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff"))
	f.Add([]byte("\x02\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a := ParseACL(data); len(a) > 0 {
			if !bytes.Equal(a.Bytes(), data) {
				t.Errorf("%x came back as %x", data, a.Bytes())
			}
			a.Inherit(0o640)
		}
	})
}
