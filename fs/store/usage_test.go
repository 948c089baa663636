package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
)

// taken adds up what trees take of the disk, every inode once, as du(1) does.
func taken(t *testing.T, seen map[uint64]bool, trees ...string) (n int64) {
	t.Helper()
	for _, tree := range trees {
		must(t, filepath.WalkDir(tree, func(p string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(p, &st); err != nil {
				return err
			}
			if !seen[st.Ino] {
				seen[st.Ino] = true
				n += st.Blocks * 512
			}
			return nil
		}))
	}
	return n
}

// What is measured is what du(1) finds, each inode once, under the kind of the
// checkpoint and where it lies; what is met again is shared.
func TestUsage(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "best_model": {"best", 1, 0}})
		b.seed(map[string]content{last: {"new", 2, 0}})
		b.must(b.process().removeAll("best_model"))
		p := b.process()
		b.must(p.write(last+"/config.json", []byte(`{"half": true}`)))
		rep, err := b.Usage()
		b.must(err)
		if len(rep.Runs) != 1 || rep.Runs[0].Path != "." || rep.Total == 0 {
			t.Fatalf("the report is %+v", rep)
		}
		seen, at := map[uint64]bool{}, func(p string) string { return filepath.Join(b.dir, p) }
		var history, trash, staging []string
		for dir, list := range map[string]*[]string{historyDir: &history, trashDir: &trash, stagingDir: &staging} {
			for _, name := range b.left(dir) {
				if filepath.Ext(name) != ".json" {
					*list = append(*list, at(dir+"/"+name))
				}
			}
		}
		want := map[layout.Kind]Usage{
			layout.Last: {Committed: taken(t, seen, at(last)), History: taken(t, seen, history...)},
			layout.Best: {Trash: taken(t, seen, trash...)},
		}
		u := want[layout.Last]
		u.Staging = taken(t, seen, staging...)
		again := taken(t, map[uint64]bool{}, staging...)
		u.Shared = again - u.Staging
		want[layout.Last] = u
		if u.Shared == 0 || u.History == 0 || u.Staging == 0 {
			t.Fatalf("the case is too simple: %+v", u)
		}
		for _, k := range rep.Runs[0].Kinds {
			if k.Usage != want[k.Kind] {
				t.Errorf("%s: %+v, want %+v", k.Kind, k.Usage, want[k.Kind])
			}
		}
		sum := rep.Runs[0].Usage.Sum()
		if all := taken(t, map[uint64]bool{}, append([]string{at(last)}, append(append(history, trash...), staging...)...)...); sum != all {
			t.Errorf("all of it takes %d, and du finds %d", sum, all)
		}
	})
}

// What a file shares with another by reflink takes no space of its own.
func TestUsageOfReflinks(t *testing.T) {
	asRoot(t)
	dir := plainDir(t)
	btrfs(t, dir)
	const size = 8 << 20
	for _, name := range []string{"a", "c"} {
		must(t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name), size), 0o644))
	}
	root, err := disk.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	must(t, root.Copy("", "a", "b"))
	must(t, root.Syncfs(""))
	s := newStore(root, Options{})
	m := &meter{store: s, seen: map[inodeKey]bool{}, parts: map[uint64]bool{}}
	for _, c := range []struct {
		name        string
		own, shared int64
	}{{"a", size, 0}, {"b", 0, size}, {"c", size, 0}, {"c", 0, size}} {
		var own, shared int64
		must(t, m.tree(c.name, &own, &shared))
		if own != c.own || shared != c.shared {
			t.Errorf("%s takes %d and shares %d, want %d and %d", c.name, own, shared, c.own, c.shared)
		}
	}
}

// The files of a checkpoint that is a file count once, although they have a name
// in the run and one in their home; read without a mount it is the same.
func TestUsageOfFiles(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.stop()
		b.layouts = []*layout.Layout{parsedSpread()}
		b.start()
		b.seed(map[string]content{"last.pth": {"old", 1, 0}})
		rep, err := b.Usage()
		b.must(err)
		file := taken(t, map[uint64]bool{}, filepath.Join(b.dir, "last.pth"))
		u := rep.Runs[0].Usage
		if u.Shared != 0 || u.Committed < file || u.Committed >= 2*file {
			t.Errorf("%+v, and the file takes %d", u, file)
		}
		root, err := disk.OpenRoot(b.dir)
		b.must(err)
		defer root.Close()
		cfg := b.cfg
		cfg.Layouts, cfg.Layout = b.layouts, "spread"
		looked, err := Look(root, Options{Config: cfg})
		b.must(err)
		other, err := looked.Usage()
		b.must(err)
		if len(other.Runs) != 1 || other.Runs[0].Usage != u {
			t.Errorf("without a mount it is %+v, with one %+v", other, u)
		}
	})
}
