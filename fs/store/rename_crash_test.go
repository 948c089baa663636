package store

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"ckptfs/policy"
)

// belongings says of every name what belongs to it: the committed version, the
// earlier ones, what is staged, what of it is in the trash, and whether it is
// pinned.
func (b *bench) belongings() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	token := func(v *Version) string {
		got, err := b.loadVersion(v)
		if err != nil {
			return err.Error()
		}
		return got
	}
	for _, rec := range b.allRecords() {
		rec.mu.RLock()
		name := rec.path()
		if v := rec.committed; v != nil {
			out[name] = token(v)
		}
		for _, v := range rec.history {
			out[name+" earlier"] += token(v) + " "
		}
		for _, sv := range rec.saves {
			data, err := os.ReadFile(filepath.Join(b.dir, sv.tree(), "config.json"))
			staged, _ := readToken("config.json", data)
			out[name+" staged"] += fmt.Sprintf("%s %v ", staged, err)
		}
		rec.mu.RUnlock()
		if b.pinned(name) {
			out[name+" pinned"] = "yes"
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, t := range b.trash {
		out[path.Join(t.Run, t.Name)+" deleted"] = "yes"
	}
	return out
}

// pin pins a name as the command will.
func (b *bench) pin(name string) {
	b.mu.Lock()
	b.pins[name] = "mine"
	b.mu.Unlock()
	b.must(b.writeFile("pin", pinsFile, []byte(fmt.Sprintf("{%q: \"mine\"}\n", name)), true))
}

// A crash at any call of what moves a name, and at any call of the recovery that
// follows, leaves the name with all that belongs to it as it was, or as it is to
// be, and nothing in between (P2).
func TestCrashWhileANameMoves(t *testing.T) {
	half := func(b *bench, p *process, name string) {
		if !p.exists(name) {
			b.must(p.mkdir(name))
		}
		b.must(p.write(name+"/config.json", content{"half", 9, 0}.files()["config.json"]))
	}
	for _, c := range []struct {
		name   string
		before func(b *bench, p *process)
		move   func(b *bench, p *process) error
		// between is what else may be found; nil for nothing.
		between func(got map[string]string) bool
	}{
		{name: "a rename with a save, history and a pin",
			before: func(b *bench, p *process) { half(b, p, last); b.pin(last) },
			move:   func(b *bench, p *process) error { return p.rename(last, "best_model") }},
		{name: "a rename aside with a save",
			before: func(b *bench, p *process) { half(b, p, last) },
			move:   func(b *bench, p *process) error { return p.rename(last, backup) },
			// The trainer died in the gap: the name has its version back.
			between: func(got map[string]string) bool { return got[last] == "new" && got[backup+" staged"] != "" }},
		{name: "a rename of a new name that is only staged",
			before: func(b *bench, p *process) { half(b, p, "swa_model") },
			move:   func(b *bench, p *process) error { return p.rename("swa_model", "best_model") }},
		{name: "a rename to a plain name",
			move: func(b *bench, p *process) error { return p.rename(last, "kept") },
			between: func(got map[string]string) bool {
				return got[last+" earlier"] == "" && (got[last] == "new" || got[last] == "") && got[last+" staged"] == ""
			}},
		{name: "a delete with history",
			move: func(b *bench, p *process) error { return p.removeAll(last) },
			between: func(got map[string]string) bool { // never an earlier version under the name
				return got[last] == "new" || got[last] == ""
			}},
		{name: "the move of a run",
			before: func(b *bench, p *process) {
				b.must(p.mkdir("runs"))
				b.must(p.mkdir("runs/a"))
				b.seed(map[string]content{"runs/a/" + last: {"old", 1, 0}, "runs/a/recovery_checkpoint": {"gone", 1, 1}})
				b.seed(map[string]content{"runs/a/" + last: {"new", 2, 0}})
				b.must(p.removeAll("runs/a/recovery_checkpoint"))
				half(b, p, "runs/a/"+last)
				half(b, p, "runs/a/best_model")
				b.pin("runs/a/" + last)
			},
			move: func(b *bench, p *process) error { return p.rename("runs", "moved") }},
		{name: "what exceeds the history goes to the trash",
			before: func(b *bench, p *process) {
				b.configure(func(c *policy.Config) { n := 0; c.Retention.History.KeepLast = &n })
			},
			move: func(b *bench, p *process) error { return b.trimHistory("", last) }},
	} {
		for _, w := range []way{ways[0], ways[4]} {
			t.Run(c.name+", "+w.name, func(t *testing.T) {
				t.Parallel()
				var want map[string]string // what it comes to
				for n, through := 0, false; !through && !t.Failed(); n++ {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, t.TempDir())
						b.on(w)
						b.start()
						defer b.stop()
						b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 1, 0}})
						b.seed(map[string]content{last: {"new", 2, 0}})
						p := b.process()
						if c.before != nil {
							c.before(b, p)
						}
						b.restart() // so that the save is one that was found, before as after
						b.settle()
						before := b.belongings()
						p = b.process()
						b.disk.stopAfter(n)
						err := c.move(b, p)
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
						b.settle()
						got := b.belongings()
						if want == nil {
							want = comesTo(t, w, c.before, c.move)
						}
						if (through || !cmp.Equal(got, before)) && !cmp.Equal(got, want) && (c.between == nil || !c.between(got)) {
							t.Errorf("crashed %s: what belongs to what (-before +got):\n%s\n(-wanted +got):\n%s", when, cmp.Diff(before, got), cmp.Diff(want, got))
							t.Logf("the calls:\n%s\nof recovery:\n%s", numberedLines(calls), numberedLines(recovered))
						}
						b.check("crashed " + when)
						if left := b.left(journalDir); len(left) > 0 {
							t.Errorf("crashed %s: the journal holds %v", when, left)
						}
						b.restart()
						b.settle()
						if again := b.belongings(); !cmp.Equal(got, again) {
							t.Errorf("crashed %s: mounted once more (-before +after):\n%s", when, cmp.Diff(got, again))
						}
					})
				}
			})
		}
	}
}

// comesTo is what belongs to what once a move is through and was mounted again.
func comesTo(t *testing.T, w way, before func(*bench, *process), move func(*bench, *process) error) map[string]string {
	b := newBench(t, t.TempDir())
	b.on(w)
	b.start()
	defer b.stop()
	b.seed(map[string]content{"recovery_checkpoint": {"spare", 1, 1}, last: {"old", 1, 0}})
	b.seed(map[string]content{last: {"new", 2, 0}})
	p := b.process()
	if before != nil {
		before(b, p)
	}
	b.restart()
	b.settle()
	b.must(move(b, b.process()))
	synctest.Wait()
	b.restart()
	b.settle()
	return b.belongings()
}

// Private state of a ckptfs that knows more is left alone, and where something
// has to be finished first nothing is mounted (P4).
func TestAnotherVersion(t *testing.T) {
	for _, c := range []struct {
		name, file, data string
		refused          bool
	}{
		{"a step that is not known", journalDir + "/x.json", `{"format": 1, "op": "merge", "id": "x"}`, true},
		{"a format of the journal", journalDir + "/x.json", `{"format": 7, "op": "commit", "id": "x"}`, true},
		{"a manifest", manifestDir + "/x.json", `{"format": 7, "id": "x"}`, false},
		{"an unfinished save", stagingDir + "/x/save.json", `{"format": 7, "id": "x"}`, false},
		{"an earlier version", historyDir + "/x/config.json", `{}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				b.stop()
				file := filepath.Join(b.dir, c.file)
				b.must(os.MkdirAll(filepath.Dir(file), 0o700))
				b.must(os.WriteFile(file, []byte(c.data), 0o600))
				before := snapshot(t, b.dir)
				err := b.tryStart()
				if !c.refused {
					b.must(err)
					b.shows("mounted", map[string]string{"resume": "old"})
					b.pass(2 * b.cfg.Save.IncompleteTTL)
					b.stop()
				} else {
					b.Store = nil
					if err == nil || !strings.Contains(err.Error(), "another version of ckptfs") || !strings.Contains(err.Error(), c.file) {
						t.Errorf("it says %v", err)
					}
					if diff := cmp.Diff(before, snapshot(t, b.dir)); diff != "" {
						t.Errorf("refused, and changed:\n%s", diff)
					}
				}
				if data, err := os.ReadFile(file); err != nil || string(data) != c.data {
					t.Errorf("it is %q now, %v", data, err)
				}
			})
		})
	}
}

// snapshot is every file of a directory but the lock.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(p, lockFile) {
			return err
		}
		data, err := os.ReadFile(p)
		out[strings.TrimPrefix(p, dir)] = string(data)
		return err
	}))
	return out
}
