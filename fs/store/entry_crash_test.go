package store

import (
	"fmt"
	"path"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// The run lies on another file system than the private directory: a directory that
// moves into a save, or out of one, is copied. A crash at any call of that, and of
// the recovery after it, leaves it whole under the one name or the other, as a rename
// does, and nothing beside it (P2, P5).
func TestCrashWhileADirectoryIsCopied(t *testing.T) {
	apart := way{name: "another file system", exchange: true, refuse: func(b *bench, from, to string, _ uint) error {
		if private(from) != private(to) {
			return unix.EXDEV
		}
		return nil
	}}
	extra := []string{"a.txt", "b.txt", "sub"}
	makeExtra := func(b *bench, p *process, dir string) {
		b.must(p.mkdir(dir))
		b.must(p.mkdir(dir + "/sub"))
		for _, name := range []string{"a.txt", "b.txt", "sub/c.txt"} {
			b.must(p.write(path.Join(dir, name), []byte(name)))
		}
	}
	for _, c := range []struct {
		name     string
		before   func(b *bench, p *process)
		from, to string
		holds    []string
	}{
		{"a directory becomes a checkpoint", func(b *bench, p *process) { b.must(p.save(tmp, content{"next", 3, 0})) }, tmp, "best_model", checkpointFiles},
		{"into a checkpoint", func(b *bench, p *process) { makeExtra(b, p, "scratch") }, "scratch", last + "/extra", extra},
		{"out of a checkpoint", func(b *bench, p *process) { makeExtra(b, p, last+"/extra") }, last + "/extra", "scratch", extra},
		{"a staged checkpoint becomes a directory", func(b *bench, p *process) { makeExtra(b, p, "best_model") }, "best_model", "scratch", extra},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n, through := 0, false; !through && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, t.TempDir())
					b.on(apart)
					b.start()
					defer b.stop()
					b.seed(map[string]content{last: {"old", 1, 0}})
					p := b.process()
					c.before(b, p)
					b.restart() // so that the save is one that was found, before as after
					p = b.process()
					b.disk.stopAfter(n)
					err := p.rename(c.from, c.to)
					synctest.Wait()
					calls := b.disk.made()
					through = len(calls) <= n
					when := "not at all"
					if !through {
						when = "before " + calls[n]
					} else if err != nil {
						t.Fatal(err)
					}
					b.crash()
					recovered := b.crashRecovery(n)
					b.start()
					q := b.process()
					var whole []string
					for _, name := range []string{c.from, c.to} {
						if !q.exists(name) {
							continue
						}
						whole = append(whole, name)
						if got, err := q.list(name); err != nil || !slices.Equal(got, c.holds) {
							t.Errorf("crashed %s: %s holds %v, %v", when, name, got, err)
						}
					}
					if len(whole) != 1 || err == nil && whole[0] != c.to {
						t.Errorf("crashed %s: there is %v; the rename said %v", when, whole, err)
					}
					for _, name := range b.left("") {
						if !slices.Contains([]string{Private, last, path.Dir(c.from), path.Dir(c.to), c.from, c.to}, name) {
							t.Errorf("crashed %s: %s is left", when, name)
						}
					}
					if left := b.left(journalDir); len(left) > 0 {
						t.Errorf("crashed %s: the journal holds %v", when, left)
					}
					b.shows("crashed "+when, map[string]string{"by-epoch/1": "old"})
					if t.Failed() {
						t.Logf("the calls:\n%s\nof recovery:\n%s", numberedLines(calls), fmt.Sprint(numberedLines(recovered)))
					}
				})
			}
		})
	}
}
