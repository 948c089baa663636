package store

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// hashesOf says of how many files of a version the hashes are known, in memory and
// in the manifest, and complains of those that are wrong.
func (b *bench) hashesOf(v *Version) (known, written int) {
	b.t.Helper()
	m, err := b.readManifest(v.ID)
	b.must(err)
	for i, f := range b.ManifestOf(v).Files {
		sum, err := b.hash(path.Join(v.where(), f.Path))
		b.must(err)
		for n, has := range map[*int]string{&known: f.XXH3, &written: m.Files[i].XXH3} {
			switch has {
			case "":
			case sum:
				*n++
			default:
				b.t.Errorf("%s: the hash is %s, and should be %s", f.Path, has, sum)
			}
		}
	}
	return known, written
}

func (b *bench) wantHashes(when string, v *Version, want int) {
	b.t.Helper()
	if known, written := b.hashesOf(v); known != want || written != want {
		b.t.Errorf("%s: %d hashes are known and %d written down, want %d", when, known, written, want)
	}
}

// lazily runs a test in which no commit hashes anything itself.
func lazily(t *testing.T, f func(b *bench)) {
	t.Helper()
	inBubble(t, func(b *bench) {
		b.stop()
		b.lazy = true
		b.start()
		f(b)
	})
}

// A commit does not wait for the hashes. They are made when no save is being
// written, and written down; a ckptfs that stops before leaves them to the next.
func TestHashesComeAfterTheCommit(t *testing.T) {
	lazily(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("checkpoint_epoch9_step1"))
		log, err := p.create("checkpoint_epoch9_step1/config.json")
		b.must(err)
		b.must(p.save("last_checkpoint", content{"one", 1, 0}))
		for range 50 { // as long as that takes
			_, err := log.Write(make([]byte, 8<<10))
			b.must(err)
			b.pass(100 * time.Millisecond)
		}
		v := b.version("latest")
		if v == nil {
			t.Fatal("nothing was committed")
		}
		b.wantHashes("while another save is being written", v, 0)
		b.restart()
		v = b.version("latest")
		b.pass(writing + hashPause)
		b.wantHashes("quiet", v, 3)
		if v.Adopted {
			t.Error("it counts as found")
		}
	})
}

// Who needs the hashes gets them: an unmount, a verification, a backup.
func TestHashesOnDemand(t *testing.T) {
	for name, ask := range map[string]func(b *bench, v *Version){
		"unmount":      func(b *bench, _ *Version) { b.Settle(context.Background(), nil) },
		"verification": func(b *bench, _ *Version) { b.verify(VerifyOptions{Deep: true}) },
		"backup":       func(b *bench, v *Version) { b.HashedManifest(v) },
	} {
		t.Run(name, func(t *testing.T) {
			lazily(t, func(b *bench) {
				release := b.disk.holdAt("hash")
				b.seed(map[string]content{"last_checkpoint": {"one", 1, 0}})
				v := b.version("latest")
				release()
				ask(b, v)
				if known, _ := b.hashesOf(v); known != 3 {
					t.Errorf("%d hashes are known, want 3", known)
				}
			})
		})
	}
}

// An unmount does not wait for the hashes of what was found: that may be years of
// checkpoints.
func TestUnmountDoesNotHashWhatWasFound(t *testing.T) {
	lazily(t, func(b *bench) {
		b.seed(map[string]content{"last_checkpoint": {"one", 1, 0}})
		b.stop()
		b.must(os.RemoveAll(path.Join(b.dir, manifestDir)))
		b.start()
		b.pass(time.Second) // it is hashed
		v := b.version("latest")
		b.mu.Lock()
		v.Files = slices.Clone(v.Files)
		for i := range v.Files {
			v.Files[i].XXH3 = ""
		}
		b.mu.Unlock()
		b.hashing.running = true // as if it did, and never came to it
		b.hashLater(v)
		b.Settle(context.Background(), nil)
		if !v.Adopted || len(b.unhashed(v)) != 3 {
			t.Errorf("adopted %v, %d files have no hashes", v.Adopted, len(b.unhashed(v)))
		}
	})
}

// A save that holds what its base does is dropped, and one that differs in one
// byte is committed, also when nothing was hashed yet.
func TestSameContentWithoutHashes(t *testing.T) {
	for _, at := range []int{-1, 0, 1, 2} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			lazily(t, func(b *bench) {
				b.hashing.running = true // as if it did, and never came to it
				large := make([]byte, 3<<20)
				save := func() string {
					p := b.process()
					b.must(p.save("last_checkpoint", content{"one", 1, 0}))
					b.must(p.write("last_checkpoint/vocab.bin", large))
					p.exit(0)
					b.settle()
					b.pass(patience)
					return b.version("latest").ID
				}
				first := save()
				if at >= 0 {
					large[[]int{0, 1<<20 + 17, len(large) - 1}[at]]++
				}
				if second := save(); (second == first) != (at < 0) {
					t.Errorf("the version was %s, and is %s", first, second)
				}
			})
		})
	}
}

// A crash, and a power cut, at every call of a save whose hashes come later.
func TestCrashBeforeTheHashes(t *testing.T) {
	for name, down := range map[string]func(b *bench, n int){
		"crash": func(b *bench, _ int) { b.restart() },
		"power cut": func(b *bench, n int) {
			b.crash()
			b.must(b.tearUnsynced([]tear{cutInHalf, emptied, zeroed}[n%3]))
			b.boot = fmt.Sprint("boot ", n)
			b.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, t.TempDir())
				pattern := patterns[1]
				b.lazy = true
				b.use(pattern)
				b.start()
				defer b.stop()
				b.seed(map[string]content{pattern.spare(): {"spare", 1, 1}, pattern.last(): {"0", 1, 0}})
				for n, through := 0, false; !through && !t.Failed(); n++ {
					through = b.crashAfter(n, pattern, func() { down(b, n) })
				}
			})
		})
	}
}

// A file that somebody changes while it is hashed keeps no hash of what it was.
func TestHashOfWhatChanged(t *testing.T) {
	lazily(t, func(b *bench) {
		release := b.disk.holdAt("hash")
		b.seed(map[string]content{"last_checkpoint": {"one", 1, 0}})
		v := b.version("latest")
		file := path.Join(b.dir, v.where(), "pytorch_model.bin")
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		b.must(err)
		_, err = f.WriteAt([]byte("x"), 0)
		b.must(err)
		b.must(f.Close())
		release()
		b.pass(time.Second)
		for _, f := range b.ManifestOf(v).Files {
			if (f.XXH3 == "") != (f.Path == "pytorch_model.bin") {
				t.Errorf("%s: the hash is %q", f.Path, f.XXH3)
			}
		}
	})
}
