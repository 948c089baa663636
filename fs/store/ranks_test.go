package store

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
)

// ranksLayout is of a trainer whose ranks write one file each into a checkpoint.
const ranksLayout = `
name: ranks
source: made up for the tests
entries:
  - {kind: step, type: dir, name: 'step-(?P<step>\d+)'}
files:
  - {required: true, core: true, any_of: [{path: state.json, format: [json]}]}
  - required: true
    core: true
    any_of: [{path: 'rank*.json', format: [json]}, {path: model.safetensors.index.json, format: [json]}]
  - any_of: [{path: done.json, format: [json]}]
`

// inRanks runs a test over a checkpoint step-1 of two ranks, committed, whose
// files have the word "one". say has a rank write files; word is what the view
// has in them.
func inRanks(t *testing.T, f func(b *bench, say func(rank int, w string, files ...string), shows func(when string, want ...string))) {
	t.Helper()
	l, err := layout.Parse("ranks.yaml", []byte(ranksLayout))
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(b *bench) {
		b.stop()
		b.layouts = []*layout.Layout{l}
		b.start()
		ranks := map[int]*process{}
		say := func(rank int, w string, files ...string) {
			t.Helper()
			if ranks[rank] == nil || ranks[rank].b.Store != b.Store {
				ranks[rank] = b.process()
			}
			for _, file := range files {
				b.must(ranks[rank].write(path.Join("step-1", file), word(w)))
			}
		}
		shows := func(when string, want ...string) {
			t.Helper()
			b.sees(when, map[string]string{"latest/rank0.json": want[0], "latest/rank1.json": want[1], "latest/state.json": want[2]})
		}
		b.must(b.process().mkdir("step-1"))
		say(0, "one", "rank0.json", "state.json")
		say(1, "one", "rank1.json")
		b.settle()
		shows("the first", "one", "one", "one")
		f(b, say, shows)
	})
}

// A save over another one waits for all ranks, however late they are: what they
// have not written is of the save before (P1). So it does in the recovery.
func TestLateRank(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			inRanks(t, func(b *bench, say func(int, string, ...string), shows func(string, ...string)) {
				say(0, "two", "rank0.json", "state.json")
				b.pass(time.Hour)
				shows("one of two ranks", "one", "one", "one")
				if missing := b.Status().Runs[0].Saves[0].Missing; !slices.Contains(missing, "rank1.json of this save") {
					t.Errorf("it waits for %q", missing)
				}
				if crash {
					b.crash()
					b.start()
					b.pass(time.Hour)
					shows("one of two ranks, recovered", "one", "one", "one")
					say(0, "two", "rank0.json", "state.json")
				}
				say(1, "two", "rank1.json")
				b.settle()
				shows("both", "two", "two", "two")
			})
		})
	}
}

// A rank that begins the next save within the time in which this one settles does
// not take part in it (P1): what was complete is committed without it.
func TestEarlyRank(t *testing.T) {
	inRanks(t, func(b *bench, say func(int, string, ...string), shows func(string, ...string)) {
		say(0, "two", "rank0.json", "state.json")
		say(1, "two", "rank1.json")
		say(1, "three", "rank1.json")
		b.settle()
		shows("one rank is ahead", "two", "two", "two")
		say(0, "three", "rank0.json", "state.json")
		b.settle()
		shows("both", "three", "three", "three")
	})
}

// Where it was not complete, nothing tells the two saves apart but time.
func TestRankThatTriesAgain(t *testing.T) {
	inRanks(t, func(b *bench, say func(int, string, ...string), shows func(string, ...string)) {
		say(0, "two", "rank0.json")
		say(1, "two", "rank1.json")
		say(1, "three", "rank1.json")
		say(0, "two", "state.json")
		b.pass(10 * time.Second)
		shows("one rank may be ahead", "one", "one", "one")
		say(0, "three", "rank0.json", "state.json")
		b.pass(10 * time.Second)
		shows("it was", "one", "one", "one")
		say(0, "four", "rank0.json", "state.json")
		say(1, "four", "rank1.json")
		b.settle()
		shows("the next save", "four", "four", "four")
	})
}

// What an index does not list any more is of an earlier save, of more ranks, and
// is not waited for.
func TestFewerRanks(t *testing.T) {
	inRanks(t, func(b *bench, say func(int, string, ...string), shows func(string, ...string)) {
		say(0, "two", "rank0.json", "state.json")
		p := b.process()
		b.must(p.write("step-1/model.safetensors.index.json", []byte(`{"weight_map": {"a": "rank0.json"}}`)))
		b.settle()
		shows("one rank only", "two", "one", "two")
	})
}

// A trainer writes the core file that it wrote last once more, and dies; then
// ckptfs does. It may have begun its next save: recovery does not commit that
// (P1), in a directory or in files. A second writing that was judged before is
// committed.
func TestWrittenTwiceBeforeACrash(t *testing.T) {
	group := spreadPatterns()[3]
	for _, c := range []struct {
		name    string
		pattern pattern
		last    string // the core file that is written last
		reboot  bool
		judged  bool // ckptfs lived to judge it
	}{
		{name: "a directory", last: last + "/training_state.pth"},
		{name: "a directory, power cut", last: last + "/training_state.pth", reboot: true},
		{name: "a directory, judged", last: last + "/training_state.pth", judged: true},
		{name: "a group", pattern: group, last: "state.shard1.pth"},
		{name: "a group, power cut", pattern: group, last: "state.shard1.pth", reboot: true},
		{name: "a group, judged", pattern: group, last: "state.shard1.pth", judged: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.stop()
				b.use(c.pattern)
				b.start()
				p := b.process()
				b.must(p.save(c.pattern.last(), content{"old", 1, 0}))
				b.settle()
				b.must(p.save(c.pattern.last(), content{"one", 2, 0}))
				token := "two"
				if c.judged { // it goes over its last file
					token = "one"
				}
				b.must(p.write(c.last, content{token, 2, 0}.rewrite("training_state.pth")))
				if c.judged {
					b.disk.stopBefore("commit:journal")
					b.settle()
				}
				b.crash()
				p.die()
				if c.reboot {
					b.boot = "another boot"
				}
				want := "old"
				if c.judged {
					want = "one"
				}
				for range 2 {
					b.start()
					b.pass(time.Hour)
					b.shows("recovered", map[string]string{"resume": want})
					b.check("recovered")
					b.stop()
				}
				b.start()
				b.must(b.process().save(c.pattern.last(), content{"three", 3, 0}))
				b.settle()
				b.shows("the next save", map[string]string{"resume": "three"})
			})
		})
	}
}

// A file that is not core is held back, and the save waits for it, also after a
// remount (P1).
func TestHeldBackBeforeARemount(t *testing.T) {
	inRanks(t, func(b *bench, say func(int, string, ...string), shows func(string, ...string)) {
		say(0, "two", "rank0.json", "state.json")
		say(1, "two", "rank1.json")
		p := b.process()
		h, err := p.create("step-1/done.json")
		b.must(err)
		_, err = h.Write([]byte("{"))
		b.must(err)
		p.die()
		for range 2 {
			b.pass(time.Hour)
			shows("held back", "one", "one", "one")
			b.stop()
			b.start()
		}
		say(0, "three", "rank0.json", "state.json")
		say(1, "three", "rank1.json")
		b.settle()
		shows("the next save", "three", "three", "three")
	})
}

// That a core file is written twice is not taken for written down when it could not
// be: the writer gets the error, and its next try writes it.
func TestWrittenTwiceOnAFailingDisk(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		p := b.process()
		b.must(p.save(last, content{"one", 2, 0}))
		b.disk.choose(func(_ int, op disk.Op) error {
			if op == "save:twice" {
				return unix.EIO
			}
			return nil
		})
		file, two := last+"/training_state.pth", content{"two", 2, 0}.rewrite("training_state.pth")
		if err := p.write(file, two); !errors.Is(err, unix.EIO) {
			t.Errorf("on the failing disk: %v", err)
		}
		if _, err := b.Lookup(p.at(file), p.tgid); !errors.Is(err, unix.EIO) { // the kernel asks twice before it believes that
			t.Errorf("asked once more: %v", err)
		}
		b.disk.choose(nil)
		b.must(p.write(file, two))
		b.crash()
		p.die()
		b.start()
		b.pass(time.Hour)
		b.shows("recovered", map[string]string{"resume": "old"})
	})
}
