package store

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const weights = "pytorch_model.bin"

// deep is a verification of all that there is.
var deep = VerifyOptions{Deep: true, History: true, Trash: true}

// verify verifies, and says what is wrong with each version, by its label.
func (b *bench) verify(o VerifyOptions) map[string]string {
	b.t.Helper()
	rep, err := b.Verify(context.Background(), o)
	b.must(err)
	found := map[string]string{}
	for _, v := range rep.Checkpoints {
		label := string(v.State) + " " + path.Join(v.Run, v.Name)
		if _, twice := found[label]; twice {
			b.t.Errorf("%s is reported twice", label)
		}
		found[label] = v.words()
		if v.OK != (found[label] == "") {
			b.t.Errorf("%s is ok: %v, but %q", label, v.OK, found[label])
		}
	}
	return found
}

// rowOf is the row of `ls` of the live checkpoint of a name.
func (b *bench) rowOf(name string) CheckpointRow {
	b.t.Helper()
	for _, r := range b.List(false).Runs {
		for _, row := range r.Checkpoints {
			if row.Name == name {
				return row
			}
		}
	}
	b.t.Fatalf("ls has no %s", name)
	return CheckpointRow{}
}

// What is said of a file in which a byte has changed.
const (
	rotten       = "its bytes are not those that were committed"
	notCommitted = weights + ": " + rotten
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

		want := map[string]string{"committed " + last: "", "history " + last: "", "trash recovery_checkpoint": ""}
		if diff := cmp.Diff(want, b.verify(deep)); diff != "" {
			t.Errorf("nothing is wrong (-want +got):\n%s", diff)
		}
		for _, at := range []string{"*", historyDir + "/*", trashDir + "/*"} {
			files, err := filepath.Glob(filepath.Join(b.dir, at, weights))
			b.must(err)
			for _, name := range files {
				b.must(flipByte(name))
			}
		}
		if diff := cmp.Diff(want, b.verify(VerifyOptions{History: true, Trash: true})); diff != "" {
			t.Errorf("structure does not tell (-want +got):\n%s", diff)
		}
		want = map[string]string{"invalid " + last: notCommitted, "history " + last: notCommitted, "trash recovery_checkpoint": notCommitted}
		if diff := cmp.Diff(want, b.verify(deep)); diff != "" {
			t.Errorf("a byte of each has changed (-want +got):\n%s", diff)
		}
	})
}

// A path is a run, a directory above runs, a checkpoint or a view.
func TestVerifyScope(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.must(os.Mkdir(b.backing("a"), 0o755))
		b.must(os.Mkdir(b.backing("b"), 0o755))
		b.seed(map[string]content{"a/" + last: {"1", 1, 0}, "a/recovery_checkpoint": {"2", 1, 1}, "b/" + last: {"3", 2, 0}})
		for _, c := range []struct {
			path string
			want []string
		}{
			{"", []string{"a/" + last, "a/recovery_checkpoint", "b/" + last}},
			{"a", []string{"a/" + last, "a/recovery_checkpoint"}},
			{"b/" + last, []string{"b/" + last}},
			{"a/latest", []string{"a/" + last}},
			{"a/@resume", []string{"a/" + last}},
			{"a/by-epoch/1", []string{"a/" + last}},
			{"a/by-epoch", []string{"a/" + last}},
			{"a/by-epoch/7", nil},
			{"nothing", nil},
		} {
			rep, err := b.Verify(context.Background(), VerifyOptions{Path: c.path})
			b.must(err)
			var got []string
			for _, v := range rep.Checkpoints {
				got = append(got, path.Join(v.Run, v.Name))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("verify %q (-want +got):\n%s", c.path, diff)
			}
		}
	})
}

// What was there before the first mount has no hash of a commit: the checksums of
// its format count, also after ckptfs has hashed it as it was.
func TestVerifyAdopted(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.stop()
		b.must(os.Mkdir(b.backing(last), 0o755))
		for name, data := range (content{"found", 1, 0}).files() {
			b.must(os.WriteFile(b.backing(path.Join(last, name)), data, 0o644))
		}
		b.must(flipByte(b.backing(last + "/" + weights)))
		b.start()
		b.pass(0) // it is hashed
		rep, err := b.Verify(context.Background(), VerifyOptions{Deep: true})
		b.must(err)
		if v := rep.Checkpoints[0]; v.OK || !strings.Contains(v.words(), weights+": damaged: the content of record") {
			t.Errorf("a rotten file was found in the directory: %+v", v)
		}
	})
}

// A verification that is interrupted is gone on with, also after a crash; one that
// came to its end begins anew, and so does one that is told to.
func TestVerifyGoesOn(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"1", 1, 0}, "recovery_checkpoint": {"2", 1, 1}, "best_model": {"3", 1, 0}})
		verify := func(again bool, most int) VerifyReport {
			t.Helper()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			files := 0
			rest := func(ctx context.Context, _ int) error { // with it, one after the other
				if files++; files > most {
					cancel()
				}
				return ctx.Err()
			}
			rep, err := b.Verify(ctx, VerifyOptions{Deep: true, Again: again, rest: rest})
			b.must(err)
			return rep
		}
		whole := verify(false, 1000)
		if whole.Interrupted || whole.FilesDone != 9 || whole.Since != nil {
			t.Fatalf("all of it: %+v", whole)
		}
		part := verify(false, 15)
		if !part.Interrupted || part.FilesDone == 0 || part.FilesDone == 9 || part.Since != nil {
			t.Fatalf("a part: %d of %d files, interrupted %v", part.FilesDone, part.Files, part.Interrupted)
		}
		checked := 0
		for _, v := range part.Checkpoints {
			for _, f := range v.Files {
				if f.Checked {
					checked++
				}
				if f.OK != f.Checked {
					t.Errorf("%s/%s is ok: %v, checked: %v", v.Name, f.Path, f.OK, f.Checked)
				}
			}
		}
		if checked != part.FilesDone {
			t.Errorf("%d files are said to be checked, %d are", part.FilesDone, checked)
		}
		b.restart()
		rest := verify(false, 1000)
		if rest.Since == nil || rest.Files != 9-part.FilesDone || rest.Interrupted {
			t.Errorf("went on with %d files, since %v; %d were done", rest.Files, rest.Since, part.FilesDone)
		}
		for _, v := range rest.Checkpoints {
			if !v.OK {
				t.Errorf("%s: %s", v.Name, v.words())
			}
		}
		verify(false, 15)
		if rep := verify(true, 1000); rep.Files != 9 || rep.Since != nil {
			t.Errorf("again: %d files, since %v", rep.Files, rep.Since)
		}
		verify(false, 15)
		b.pass(passKept + time.Minute)
		if rep := verify(false, 1000); rep.Files != 9 {
			t.Errorf("a day later: %d files", rep.Files)
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
