package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ckptfs/layout"
)

// freeLayout requires nothing of a checkpoint: its ranks each write a file, and
// what else there is nobody knows.
const freeLayout = `
name: free
source: made up for the tests
lists_views: true
entries:
  - {kind: step, type: dir, name: 'step-(?P<step>\d+)'}
  - {kind: last, type: dir, name: 'last'}
files:
  - core: true
    any_of: [{path: 'rank_*.json', format: [json]}]
  - any_of: [{path: 'meta.json', format: [json]}]
`

func inFreeRun(t *testing.T, f func(b *bench)) {
	t.Helper()
	l, err := layout.Parse("free.yaml", []byte(freeLayout))
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(b *bench) {
		b.stop()
		b.layouts = []*layout.Layout{l}
		b.start()
		f(b)
	})
}

// saveRanks writes the file of each rank, and meta.json.
func (p *process) saveRanks(dir string, ranks int, more ...string) {
	b := p.b
	b.t.Helper()
	if !p.exists(dir) {
		b.must(p.mkdir(dir))
	}
	for i := range ranks {
		b.must(p.write(fmt.Sprintf("%s/rank_%d.json", dir, i), fmt.Appendf(nil, `{"dir": %q}`, dir)))
	}
	for _, name := range more {
		b.must(p.write(dir+"/"+name, fmt.Appendf(nil, `{"of": %q}`, dir)))
	}
}

// committedAfter lets time pass until a name is committed, and says how long it took.
func (b *bench) committedAfter(name string) time.Duration {
	b.t.Helper()
	start := time.Now()
	for {
		at := b.locate(name)
		at.rec.mu.RLock()
		done := at.rec.committed != nil && len(at.rec.saves) == 0
		at.rec.mu.RUnlock()
		if done {
			return time.Since(start)
		}
		if time.Since(start) > time.Hour {
			b.t.Fatalf("%s is not committed; it waits for %q", name, b.unfinished()[name])
		}
		b.pass(time.Second / 4)
	}
}

// Where the layout requires nothing, earlier checkpoints say what is usual. It
// makes a save wait, and never forbids that it is committed.
func TestLearned(t *testing.T) {
	long := func(took time.Duration) bool { return took >= patience-2*time.Second && took < patience+5*time.Second }
	short := func(took time.Duration) bool { return took < 5*time.Second }
	for _, c := range []struct {
		name string
		save func(b *bench, p *process) // of step-20, after step-10 with three ranks and meta.json
		took func(time.Duration) bool
	}{
		{"as usual", func(b *bench, p *process) { p.saveRanks("step-20", 3, "meta.json") }, short},
		{"a rank is missing", func(b *bench, p *process) { p.saveRanks("step-20", 2, "meta.json") }, long},
		{"a file is missing", func(b *bench, p *process) { p.saveRanks("step-20", 3) }, long},
		{"a file is missing, then it comes", func(b *bench, p *process) {
			p.saveRanks("step-20", 3)
			b.pass(5 * time.Second)
			b.must(p.write("step-20/meta.json", []byte("{}")))
		}, short},
		{"a file is missing, and the next begins", func(b *bench, p *process) {
			p.saveRanks("step-20", 3)
			b.must(p.mkdir("step-30"))
		}, long},
		{"a file is missing, and an fsync", func(b *bench, p *process) {
			p.saveRanks("step-20", 3)
			b.must(b.SyncDir("step-20"))
		}, long},
		{"a file is missing, and the user's word", func(b *bench, p *process) {
			p.saveRanks("step-20", 3)
			b.must(b.Commit("step-20", false))
		}, short},
		{"more ranks than ever", func(b *bench, p *process) { p.saveRanks("step-20", 4, "meta.json") }, long},
		{"a file more", func(b *bench, p *process) { p.saveRanks("step-20", 3, "meta.json", "more.json") }, short},
		{"renamed into place, a file is missing", func(b *bench, p *process) {
			p.saveRanks("tmp", 3)
			b.must(p.rename("tmp", "step-20"))
		}, short},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFreeRun(t, func(b *bench) {
				p := b.process()
				p.saveRanks("step-10", 3, "meta.json")
				b.pass(time.Minute)
				b.committedAfter("step-10")
				c.save(b, b.process())
				if took := b.committedAfter("step-20"); !c.took(took) {
					t.Errorf("it took %v", took)
				}
				if v := b.version("latest"); v == nil || v.Name != "step-20" {
					t.Errorf("latest is %+v", v)
				}
			})
		})
	}
}

// The first of a kind waits, unless something says that it is through.
func TestFirstOfAKind(t *testing.T) {
	for _, c := range []struct {
		name  string
		then  func(b *bench, p *process)
		waits bool
	}{
		{"nothing else", func(*bench, *process) {}, true},
		{"another checkpoint begins", func(b *bench, p *process) { b.must(p.mkdir("step-20")) }, false},
		{"its writers exit with 0", func(b *bench, p *process) { p.exit(0) }, false},
		{"an unmount", func(b *bench, p *process) { b.Settle(context.Background(), nil) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFreeRun(t, func(b *bench) {
				p := b.process()
				p.saveRanks("last", 2) // of another kind
				b.must(b.Commit("last", false))
				p.saveRanks("step-10", 2)
				c.then(b, p)
				b.settle()
				if c.waits {
					if lacks := Words(b.unfinished()["step-10"]); !strings.Contains(lacks, "first of its kind") {
						t.Errorf("it lacks %q", lacks)
					}
				}
				took := b.committedAfter("step-10")
				if waited := took > 20*time.Second; waited != c.waits {
					t.Errorf("it took %v more", took)
				}
			})
		})
	}
}

// A checkpoint that is overwritten in place is compared by what the attempt
// wrote, not by what it found: ranks that have not written yet are missing.
func TestLearnedInPlace(t *testing.T) {
	inFreeRun(t, func(b *bench) {
		p := b.process()
		p.saveRanks("last", 3, "meta.json")
		b.pass(time.Minute)
		was := b.version("latest").ID
		b.must(p.write("last/rank_0.json", []byte(`{"new": 0}`)))
		b.pass(patience / 2)
		if b.version("latest").ID != was {
			t.Error("committed with the files of two ranks unwritten")
		}
		b.must(p.write("last/rank_1.json", []byte(`{"new": 1}`)))
		b.must(p.write("last/rank_2.json", []byte(`{"new": 2}`)))
		b.must(p.write("last/meta.json", []byte(`{"new": 3}`)))
		b.settle()
		if b.version("latest").ID == was {
			t.Error("not committed when all had written")
		}
	})
}
