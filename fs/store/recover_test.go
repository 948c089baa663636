package store

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A save that the daemon did not live to commit is judged at the next mount.
func TestUnfinishedSaves(t *testing.T) {
	whole := content{"new", 2, 0}
	reboot := func(b *bench) { b.boot = "another boot" }
	for _, c := range []struct {
		name   string
		before func(t *testing.T, b *bench, p *process) // until the crash
		after  func(b *bench)                           // before the next mount
		resume string
	}{
		{name: "complete and closed", resume: "new",
			before: func(t *testing.T, b *bench, p *process) { b.must(p.save(last, whole)) }},
		{name: "one file is missing", resume: "old",
			before: func(t *testing.T, b *bench, p *process) {
				for name, data := range whole.files() {
					if name != "config.json" {
						b.must(p.write(last+"/"+name, data))
					}
				}
			}},
		{name: "one file was still open", resume: "old",
			before: func(t *testing.T, b *bench, p *process) {
				for name, data := range whole.files() {
					h, err := p.create(last + "/" + name)
					b.must(err)
					_, err = h.Write(data)
					b.must(err)
					if name != "config.json" {
						b.must(p.close(h))
					}
				}
			}},
		{name: "one file was held back", resume: "old",
			before: func(t *testing.T, b *bench, p *process) {
				files := whole.files()
				b.must(p.write(last+"/pytorch_model.bin", files["pytorch_model.bin"]))
				b.must(p.write(last+"/training_state.pth", files["training_state.pth"]))
				h, err := p.create(last + "/config.json")
				b.must(err)
				_, err = h.Write(files["config.json"][:5])
				b.must(err)
				p.die()
			}},
		{name: "its writer was killed, and ckptfs lived to judge it", resume: "old",
			before: func(t *testing.T, b *bench, p *process) {
				b.must(p.save(last, whole))
				p.die()
				b.settle()
			}},
		{name: "its writer was killed, and began anew", resume: "newer",
			before: func(t *testing.T, b *bench, p *process) {
				b.must(p.save(last, whole))
				p.die()
				b.settle()
				b.must(b.process().save(last, content{"newer", 2, 1}))
			}},
		{name: "power cut, every file has its checksums", resume: "new", after: reboot,
			before: func(t *testing.T, b *bench, p *process) { b.must(p.save(last, whole)) }},
		{name: "power cut, one file cannot prove itself", resume: "old", after: reboot,
			before: func(t *testing.T, b *bench, p *process) {
				b.must(p.save(last, whole))
				b.must(p.write(last+"/notes.bin", []byte("whatever")))
			}},
		{name: "the daemon alone, one file cannot prove itself", resume: "new",
			before: func(t *testing.T, b *bench, p *process) {
				b.must(p.save(last, whole))
				b.must(p.write(last+"/notes.bin", []byte("whatever")))
			}},
		{name: "power cut, a checksum is wrong", resume: "old",
			before: func(t *testing.T, b *bench, p *process) { b.must(p.save(last, whole)) },
			after: func(b *bench) {
				reboot(b)
				b.corruptStaged("pytorch_model.bin")
			}},
		{name: "power cut after the manifest was synced", resume: "new", after: reboot,
			before: func(t *testing.T, b *bench, p *process) {
				b.must(p.save(last, whole))
				b.must(p.write(last+"/notes.bin", []byte("whatever")))
				b.disk.stopBefore("commit:journal")
				b.settle()
			}},
		{name: "power cut after the manifest was synced, and it is wrong", resume: "old",
			before: func(t *testing.T, b *bench, p *process) {
				b.must(p.save(last, whole))
				b.must(p.write(last+"/notes.bin", []byte("whatever")))
				b.disk.stopBefore("commit:journal")
				b.settle()
			},
			after: func(b *bench) {
				reboot(b)
				b.corruptStaged("notes.bin")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				c.before(t, b, p)
				b.crash()
				p.die()
				if c.after != nil {
					c.after(b)
				}
				for range 2 {
					b.start()
					b.check("mounted")
					b.settle()
					b.shows("mounted", map[string]string{"resume": c.resume})
					b.check("settled")
					b.stop()
				}
				b.start()
				if c.resume != "old" {
					return
				}
				b.must(b.process().save(last, content{"next", 3, 0}))
				b.settle()
				b.shows("the next save", map[string]string{"resume": "next"})
			})
		})
	}
}

// corruptStaged changes bytes in the middle of a staged file, and neither its
// size nor its time.
func (b *bench) corruptStaged(name string) {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, stagingDir, "*", "tree", name))
	b.must(err)
	if len(files) != 1 {
		b.t.Fatalf("staged are %v", files)
	}
	st, err := os.Stat(files[0])
	b.must(err)
	data, err := os.ReadFile(files[0])
	b.must(err)
	copy(data[len(data)/2:], bytes.Repeat([]byte{0xa5}, 4))
	b.must(os.WriteFile(files[0], data, 0))
	b.must(os.Chtimes(files[0], time.Time{}, st.ModTime()))
}

// While somebody can still write to a file of it, a save that was found is not
// committed: a trainer outlives the daemon and goes on writing to what it has
// open.
func TestOrphanedWriter(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.save(last, content{"new", 2, 0}))
		staged, err := filepath.Glob(filepath.Join(b.dir, stagingDir, "*", "tree", "pytorch_model.bin"))
		b.must(err)
		f, err := os.OpenFile(staged[0], os.O_RDWR, 0)
		b.must(err)
		b.restart()
		b.pass(time.Hour)
		b.shows("the orphan lives", map[string]string{"resume": "old"})
		b.must(f.Close())
		b.settle()
		b.shows("the orphan is gone", map[string]string{"resume": "new"})
	})
}

// Several saves of one name are found after a crash: each was complete when the
// next began, but no commit was through.
func TestSeveralSavesOfOneName(t *testing.T) {
	for _, c := range []struct {
		name   string
		whole  int    // attempts that were finished
		half   bool   // one more had begun
		resume string // of "1", "2", …
	}{
		{"two, the second half", 1, true, "1"},
		{"two whole ones", 2, false, "2"},
		{"three, the third half", 2, true, "2"},
		{"three whole ones", 3, false, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"0", 1, 0}})
				b.disk.holdAt("commit:sync") // no commit comes any further
				p := b.process()
				for i := range c.whole {
					b.must(p.save(last, content{fmt.Sprint(i + 1), byte(i + 2), 0}))
				}
				if c.half {
					b.must(p.write(last+"/config.json", content{"half", 9, 0}.files()["config.json"]))
				}
				b.crash()
				p.die()
				b.start()
				b.check("mounted")
				b.settle()
				b.shows("settled", map[string]string{"resume": c.resume})
				b.check("settled")
				tokens := b.tokens()
				b.restart()
				b.settle()
				b.sameTokens("mounted again", tokens)
			})
		})
	}
}

// Adoption: what was there before the first mount is verified in place.
func TestAdoption(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.stop()
		b.must(os.RemoveAll(filepath.Join(b.dir, Private)))
		b.must(os.CopyFS(b.dir, os.DirFS(realRun)))
		half := filepath.Join(b.dir, "checkpoint_epoch3_step8")
		b.must(os.Mkdir(half, 0o755))
		b.must(os.WriteFile(filepath.Join(half, "config.json"), []byte("{"), 0o644))
		b.must(os.Symlink("last_checkpoint", filepath.Join(b.dir, "swa_model")))
		b.start()
		for view, want := range map[string]string{
			"resume": last, "latest": "checkpoint_epoch3_step4", "best": "best_model",
			"by-epoch/1": "checkpoint_epoch1_step8", "by-epoch/2": last, "by-step/4": "checkpoint_epoch1_step4",
		} {
			v := b.version(view)
			if v == nil {
				t.Errorf("%s resolves to nothing, want %s", view, want)
			} else if v.Name != want {
				t.Errorf("%s is %s, want %s", view, v.Name, want)
			}
		}
		if got := strings.Join(b.happened("invalid"), "; "); !strings.Contains(got, "checkpoint_epoch3_step8: ") || !strings.Contains(got, "missing") {
			t.Errorf("invalid are %q", got)
		}
		if _, err := os.Stat(half); err != nil {
			t.Errorf("what is not valid was touched: %v", err)
		}
		// A mount changes nothing under natural names.
		b.stop()
		want, err := os.ReadFile(path.Join(realRun, last, "config.json"))
		b.must(err)
		got, err := os.ReadFile(filepath.Join(b.dir, last, "config.json"))
		b.must(err)
		if !bytes.Equal(got, want) {
			t.Error("an adopted file has other bytes")
		}
	})
}

// A committed checkpoint that was changed while nothing was mounted is verified
// again, and never shown torn.
func TestChangedOutside(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir string) error
		resume string
	}{
		{"torn", func(dir string) error { return os.Truncate(filepath.Join(dir, "pytorch_model.bin"), 100) }, "spare"},
		{"removed", os.RemoveAll, "spare"},
		{"one file removed", func(dir string) error { return os.Remove(filepath.Join(dir, "config.json")) }, "spare"},
		{"a log is added", func(dir string) error { return os.WriteFile(filepath.Join(dir, "log.txt"), nil, 0o644) }, "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 2, 0}, "recovery_checkpoint": {"spare", 1, 1}})
				b.stop()
				b.must(c.change(filepath.Join(b.dir, last)))
				b.start()
				b.shows("mounted", map[string]string{"resume": c.resume})
				b.must(b.process().save(last, content{"new", 3, 0}))
				b.settle()
				b.shows("saved", map[string]string{"resume": "new"})
				b.check("saved")
			})
		})
	}
}
