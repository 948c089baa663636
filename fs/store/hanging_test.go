package store

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// stuck is a disk of which one part does not answer, as long as it is so.
type stuck struct {
	disk.Disk
	part string
	free chan struct{} // nil while all answers
}

func (d *stuck) wait(p string) {
	if d.free != nil && (p == d.part || strings.HasPrefix(p, d.part+"/")) {
		<-d.free
	}
}

func (d *stuck) Stat(p string) (disk.Stat, error) {
	d.wait(p)
	return d.Disk.Stat(p)
}

func (d *stuck) Describe(p string) ([]disk.Described, error) {
	d.wait(p)
	return d.Disk.Describe(p)
}

func (d *stuck) ReadDir(p string) ([]disk.Entry, error) {
	d.wait(p)
	return d.Disk.ReadDir(p)
}

// Where the disk does not answer only those wait who touch it there: others save
// and load, and status names what hangs and since when.
func TestHangingDisk(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("a"))
		b.must(p.mkdir("b"))
		b.seed(map[string]content{"a/" + last: {"a", 1, 0}, "b/" + last: {"b", 1, 0}})
		b.stop()
		d := &stuck{part: "a"}
		b.over = func(below disk.Disk) disk.Disk { d.Disk = below; return d }
		b.start()
		defer func() { b.over = nil }()
		synctest.Wait() // until everything was compared

		d.free = make(chan struct{})
		began := time.Now()
		var waiting int
		for _, touch := range []func(){
			func() { _, _ = b.Lookup("a/"+last+"/config.json", 1) },
			func() { _, _ = b.ReadDirPlus("a/" + last) },
		} {
			waiting++
			go func() { touch(); waiting-- }()
		}
		b.must(b.process().save("b/"+last, content{"again", 2, 0}))
		b.pass(hangs + time.Second)
		b.shows("a part hangs", map[string]string{"b/latest": "again", "a/latest": "a"})
		asked := time.Now()
		st := b.Status()
		if took := time.Since(asked); took > statusPatience+time.Second {
			t.Errorf("status took %v", took)
		}
		var said []string
		for _, h := range st.Hanging {
			said = append(said, h.What+" "+h.Path)
			if h.Since.Before(began) || h.Since.After(began.Add(time.Second)) {
				t.Errorf("%s is said to hang since %v, not %v", h.Path, h.Since, began)
			}
		}
		slices.Sort(said)
		if want := []string{"list a/" + last, "stat a/" + last + "/config.json"}; !slices.Equal(said, want) {
			t.Errorf("hanging are %q, want %q", said, want)
		}
		if i := slices.IndexFunc(st.Runs, func(r RunStatus) bool { return r.Path == "b" }); i < 0 || st.Runs[i].Views["latest"] != last {
			t.Errorf("what status says of the run that answers: %+v", st.Runs)
		}

		close(d.free)
		synctest.Wait()
		if st := b.Status(); waiting > 0 || len(st.Hanging) > 0 {
			t.Errorf("when it answers again %d wait, and %v hang", waiting, st.Hanging)
		}
		d.free = nil
	})
}

func (d *stuck) Statfs() (unix.Statfs_t, error) {
	d.wait("")
	return d.Disk.Statfs()
}

// Status does not wait for a disk that does not answer: it says so of the runs of
// which it knows no more.
func TestStatusOfAHangingDisk(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"one", 1, 0}})
		b.stop()
		d := new(stuck)
		b.over = func(below disk.Disk) disk.Disk { d.Disk = below; return d }
		b.start()
		defer func() { b.over = nil }()
		synctest.Wait()
		d.free = make(chan struct{})
		asked := time.Now()
		st := b.Status()
		if took := time.Since(asked); took > statusPatience+time.Second {
			t.Errorf("status took %v", took)
		}
		if len(st.Runs) != 1 || !slices.Contains(st.Runs[0].Hints, notAnswering) {
			t.Errorf("it says %+v", st.Runs)
		}
		close(d.free)
		synctest.Wait()
		d.free = nil
		if st := b.Status(); slices.Contains(st.Runs[0].Hints, notAnswering) || st.Runs[0].Views["latest"] != last {
			t.Errorf("when it answers again it says %+v", st.Runs)
		}
	})
}
