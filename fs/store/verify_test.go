package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ckptfs/policy"
)

// What has rotted since its commit is found, in every place where a version can
// lie, also when size, time and inode are the same.
func TestVerify(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		p := b.process()
		b.must(p.save(last, content{"new", 2, 0}))
		b.settle()
		b.must(p.removeAll("recovery_checkpoint"))

		verify := func() map[policy.State][]string {
			t.Helper()
			versions, err := b.Verify(context.Background())
			b.must(err)
			found := map[policy.State][]string{}
			for _, v := range versions {
				found[v.State] = append(found[v.State], strings.Join(v.Damage(), "; "))
			}
			return found
		}
		want := []policy.State{policy.Committed, policy.History, policy.Trash}
		clean := verify()
		for _, state := range want {
			if len(clean[state]) != 1 || clean[state][0] != "" {
				t.Errorf("nothing is wrong, but %s is %q", state, clean[state])
			}
		}
		weights, err := filepath.Glob(filepath.Join(b.dir, last, "pytorch_model.bin"))
		b.must(err)
		for _, kept := range []string{historyDir, trashDir} {
			more, err := filepath.Glob(filepath.Join(b.dir, kept, "*", "pytorch_model.bin"))
			b.must(err)
			weights = append(weights, more...)
		}
		for _, name := range weights {
			b.must(flipByte(name))
		}
		for _, state := range want {
			if damage := verify()[state]; len(damage) != 1 || !strings.Contains(damage[0], "pytorch_model.bin: it is not what was hashed") {
				t.Errorf("one byte has changed, but %s is %q", state, damage)
			}
		}
	})
}

// flipByte changes one byte in the middle of a file and keeps its time.
func flipByte(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	content[len(content)/2] ^= 0x20
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return os.Chtimes(name, info.ModTime(), info.ModTime())
}
