package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A crash while the trash is being emptied leaves no half of a version that is
// taken for a whole one: it would be the one that is never removed, or restored.
// What was renamed is durable before the first file of it goes, or a power cut
// would bring the name back with other bytes.
func TestCrashWhileTheTrashIsEmptied(t *testing.T) {
	inBubble(t, func(b *bench) {
		for n := 0; ; n++ {
			b.seed(map[string]content{last: {fmt.Sprint(n, " old"), 1, 0}, "recovery_checkpoint": {fmt.Sprint(n, " spare"), 1, 1}})
			b.must(b.process().removeAll(last))
			b.pass(b.cfg.Retention.TrashTTL - housekeeping)
			b.disk.stopAfter(n)
			b.Housekeep()
			b.pass(2 * housekeeping)
			calls := b.disk.made()
			for i, call := range calls {
				if strings.HasPrefix(call, "trash:empty unlink "+trashDir+"/") && strings.Count(call, "/") > 2 {
					if !strings.Contains(strings.Join(calls[:i], "\n"), "trash:sync sync "+trashDir) {
						t.Errorf("files are removed before the trash is durable:\n%s", numberedLines(calls))
					}
					break
				}
			}
			b.restart()
			rep, err := b.Verify(context.Background(), VerifyOptions{Deep: true, History: true, Trash: true})
			b.must(err)
			for _, v := range rep.Checkpoints {
				if damage := v.Damage(); len(damage) > 0 {
					t.Errorf("crashed after call %d: %s, %s: %v", n, v.Name, v.State, damage)
				}
			}
			for _, entry := range b.trash {
				if whole := checkWhole(filepath.Join(b.dir, entry.path())); entry.Valid && whole != nil {
					t.Errorf("crashed after call %d: a half-removed version counts as valid: %v", n, whole)
				}
			}
			b.pass(b.cfg.Retention.TrashTTL + 2*housekeeping)
			if left := b.left(trashDir); len(left) > 0 {
				t.Errorf("crashed after call %d: the trash keeps %v", n, left)
			}
			if len(calls) <= n {
				return
			}
		}
	})
}

func checkWhole(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = loadWhole(root.ReadFile)
	return err
}

// The note of what was deleted is not synced. Where a power cut took it, the
// manifest says whose the version was, so that the last one of a run is kept.
func TestTrashWithoutItsNote(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.must(os.Mkdir(filepath.Join(b.dir, "codebert"), 0o755))
		b.seed(map[string]content{last: {"other run", 1, 0}, "codebert/" + last: {"only one", 1, 0}})
		b.must(b.process().removeAll("codebert/" + last))
		b.crash()
		for _, name := range b.left(trashDir) {
			if strings.HasSuffix(name, ".json") {
				b.must(os.Truncate(filepath.Join(b.dir, trashDir, name), 0))
			}
		}
		b.must(os.WriteFile(filepath.Join(b.dir, trashDir, "stale.json"), []byte("{}"), 0o600))
		b.start()
		b.pass(2 * b.cfg.Retention.TrashTTL)
		if left := b.left(trashDir); len(left) != 2 {
			t.Errorf("the trash keeps %v", left)
		}
		if len(b.trash) != 1 || b.trash[0].Run != "codebert" || b.trash[0].Name != last {
			t.Fatalf("the trash holds %+v", b.trash)
		}
		if token, err := b.loadVersion(b.trash[0].version); err != nil || token != "only one" {
			t.Errorf("the last version of the run is %q, %v", token, err)
		}
	})
}
