package fs

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Each change that the kernel has not asked for moves the time, and it is told once
// for each listing that it was given.
func TestShown(t *testing.T) {
	s := new(shown)
	at := func() [2]uint64 {
		out := fuse.Attr{Mtime: 7, Mtimensec: 999_999_999}
		s.time(&out)
		return [2]uint64{out.Mtime, uint64(out.Mtimensec)}
	}
	load := func() ([]entry, syscall.Errno) { return nil, 0 }
	if s.change() {
		t.Error("the kernel is told of a listing that it never had")
	}
	if got := at(); got != [2]uint64{8, 0} {
		t.Errorf("after a change the time is %v", got)
	}
	s.entries(true, load)
	if first, second := s.change(), s.change(); !first || second {
		t.Errorf("of two changes it is told %v, %v", first, second)
	}
	if got := at(); got != [2]uint64{8, 2} {
		t.Errorf("after three changes the time is %v", got)
	}
	if s.settled() {
		t.Error("a listing from before the change may be on its way")
	}
	s.timeSet()
	if got := at(); got != [2]uint64{7, 999_999_999} {
		t.Errorf("set by the user the time is %v", got)
	}
}

// A reader goes on behind the name that it was given last, in whatever listing there
// is by then; views come last, in their order.
func TestReaderGoesOn(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("name-", i))
	}
	s := new(shown)
	open := func() *listing {
		h, _, _ := s.open(directory{settled: func() bool { return true }, names: func(bool) (list []entry, _ syscall.Errno) {
			for _, n := range names {
				list = append(list, entry{DirEntry: fuse.DirEntry{Name: n}})
			}
			for i, n := range []string{"latest", "by-step"} {
				list = append(list, entry{DirEntry: fuse.DirEntry{Name: n, Off: cookieView + uint64(i)}})
			}
			return list, 0
		}}, 0)
		return h.(*listing)
	}
	off := uint64(0)
	var read []string
	for piece := 0; ; piece++ {
		l := open() // each request has one of its own
		if errno := l.Seekdir(context.Background(), off); errno != 0 {
			t.Fatal(errno)
		}
		e, errno := l.Readdirent(context.Background())
		if errno != 0 {
			t.Fatal(errno)
		}
		if e == nil {
			break
		}
		read, off = append(read, e.Name), e.Off
		if piece%10 == 0 { // others begin anew, and names come and go
			s.end()
			names = append(slices.DeleteFunc(names, func(n string) bool { return n == e.Name }), fmt.Sprint("new-", piece))
		}
	}
	for i := range 100 {
		name := fmt.Sprint("name-", i)
		if n := len(slices.DeleteFunc(slices.Clone(read), func(r string) bool { return r != name })); n != 1 {
			t.Errorf("%s was read %d times", name, n)
		}
	}
	if !slices.Equal(read[:2], []string{".", ".."}) || !slices.Equal(read[len(read)-2:], []string{"latest", "by-step"}) {
		t.Errorf("it begins with %q and ends with %q", read[:2], read[len(read)-2:])
	}
}
