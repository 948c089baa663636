package fs_test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ckptfs/testdata/figures"
	"ckptfs/testdata/saves"
)

// What is incomplete, held back or deleted is old at the next housekeeping, and
// every commit prunes.
const killConfig = saves.Layouts + `
save: {settle: 20ms, incomplete_ttl: 200ms}
retention: {mid_epoch: {keep_last: 2, when: always}, trash_ttl: 200ms}
`

// killBound is how long a round may take; nothing may hang.
const killBound = 2 * time.Minute

// rounds is how many there are; ROUNDS asks for more.
func rounds(t *testing.T, short int) int {
	if s := os.Getenv("ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("ROUNDS=%s: %v", s, err)
		}
		return n
	}
	return short
}

// killRuns are the runs of the mount, each with a pattern of those that are saved
// there: the guide's trainer has the mount itself, who saves one file, or a group,
// a directory of his own.
var killRuns = map[string]string{".": saves.Overwrite, "files": saves.FileOverwrite, "shards": saves.Group}

// savedIn is the run that a pattern is saved in.
func savedIn(pattern string) string {
	switch {
	case !saves.Spread(pattern):
		return "."
	case pattern == saves.Group:
		return "shards"
	}
	return "files"
}

// P1 to P4 under kills: trainers of every kind and ckptfs itself are killed at
// random moments, in any order. After each round every view is whole, nothing
// that a view had shown is lost, no killed writer has published anything, the
// backing directory is plain, and nothing is left over.
func TestKills(t *testing.T) {
	n := rounds(t, 12)
	total := &tally{}
	for at, name := range []string{"over the directory itself", "elsewhere"} {
		t.Run(name, func(t *testing.T) {
			k := newKilling(t, at == 0, total)
			for i := at; i < n; i += 2 {
				k.round(i)
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
	if total.rounds > 0 && !t.Failed() {
		figures.Report(t, "kills", "%s", total)
	}
}

// tally is what was counted.
type tally struct {
	rounds, daemons, writers, saves, loads, held int
	slowest                                      time.Duration
}

func (c *tally) String() string {
	return fmt.Sprintf("%d rounds, ckptfs killed %d times, writers %d times, %d saves acknowledged, %d loads of views meanwhile, %d files held back, slowest round %.1f s, 0 violations",
		c.rounds, c.daemons, c.writers, c.saves, c.loads, c.held, c.slowest.Seconds())
}

// killing is one mount that is killed over and over.
type killing struct {
	*tally
	t        *testing.T
	m        *mounted
	back     *os.Root // the backing directory, also beneath the mount
	rnd      *rand.Rand
	trainers []*trainer
	shown    map[string]int // by the path of a view: the last save that it was seen to show
	quiet    map[string]int // the descriptors of the daemon when nothing is going on
	story    []string       // what was done in this round
	calm     atomic.Bool    // ckptfs was not killed in this round
	shared   bool           // but it was, and a file had several writers
}

func newKilling(t *testing.T, over bool, total *tally) *killing {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	dir := t.TempDir()
	for run, pattern := range killRuns {
		if err := saves.MakeRun(filepath.Join(dir, run), pattern); err != nil {
			t.Fatal(err)
		}
	}
	back, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { back.Close() })
	k := &killing{tally: total, t: t, back: back, rnd: rand.New(rand.NewPCG(seed, 0)), shown: map[string]int{}}
	if over {
		k.m = mountOver(t, dir, killConfig)
	} else {
		k.m = mountAt(t, dir, t.TempDir(), killConfig)
	}
	k.quiet = k.descriptors()
	return k
}

// event is one thing that goes wrong.
var events = []struct {
	name string
	do   func(k *killing)
}{
	{"kill one process of a trainer", func(k *killing) { k.pick().killOne(k) }},
	{"kill a trainer and its children", func(k *killing) { k.pick().kill(k) }},
	{"kill ckptfs", func(k *killing) { k.killDaemon(); k.restart() }},
	{"kill ckptfs while it recovers", func(k *killing) {
		k.killDaemon()
		for range 1 + k.rnd.IntN(3) {
			k.mountAgain()
			k.pause(40 * time.Millisecond)
			k.killDaemon()
		}
		k.restart()
	}},
	{"kill ckptfs while it unmounts", func(k *killing) {
		k.calm.Store(false)
		for _, tr := range k.trainers { // it may succeed, and then the bare directory shows
			tr.stop()
		}
		k.m.cmd.Process.Signal(syscall.SIGTERM)
		k.pause(30 * time.Millisecond)
		k.killDaemon()
		k.restart()
	}},
	{"kill ckptfs while it prunes", func(k *killing) {
		go os.WriteFile(k.m.path(".ckptfs/control"), []byte("housekeep"), 0) // it may be cut short
		k.pause(5 * time.Millisecond)
		k.killDaemon()
		k.restart()
	}},
}

// round lets one or two trainers save, kills what there is, and looks at what
// is left.
func (k *killing) round(i int) {
	k.story, k.shared = nil, false
	k.calm.Store(true)
	began := time.Now()
	watchdog := time.AfterFunc(killBound, k.hangs)
	defer func() {
		watchdog.Stop()
		k.slowest = max(k.slowest, time.Since(began))
		if k.t.Failed() {
			k.t.Errorf("round %d: %q", i, k.story)
		}
	}()
	replacing := saves.Patterns[1:] // the others make new names
	pattern := replacing[k.rnd.IntN(len(replacing))]
	if saves.HasGap(pattern) {
		k.shown["resume"] = 0 // the trainer itself deletes what was shown
	}
	kind := slices.Sorted(maps.Keys(kinds))[i/2%len(kinds)]
	k.start(kind, pattern, i)
	if k.rnd.IntN(2) == 0 {
		k.start(slices.Sorted(maps.Keys(kinds))[k.rnd.IntN(len(kinds))], saves.InPlaceNew, i)
	}
	stop := k.watch()
	for n := range 1 + k.rnd.IntN(3) {
		which := i / 2 // each in turn, then any
		if n > 0 {
			which = k.rnd.IntN(len(events))
		}
		if len(k.trainers) == 0 {
			break
		}
		k.pause(120 * time.Millisecond)
		e := events[which%len(events)]
		k.story = append(k.story, e.name)
		e.do(k)
	}
	story := strings.Join(k.story, " ")
	k.shared = strings.Contains(story, "by ranks") && (!k.calm.Load() || strings.Contains(story, "kill one process"))
	k.endTrainers()
	k.loads += stop()
	k.rounds++
	k.check()
}

// start runs a trainer whose tokens are higher than all before.
func (k *killing) start(kind, pattern string, i int) {
	k.story = append(k.story, "train "+pattern+" by "+kind)
	tr := startTrainer(k.t, k.m.path(savedIn(pattern)), pattern, kind, (i+1)*1000+1) // further than the real run was
	k.trainers = append(k.trainers, tr)
	if k.rnd.IntN(2) == 0 {
		select {
		case <-tr.said: // let one go through
		case <-time.After(killBound / 2):
			k.t.Errorf("%s by %s saves nothing: %s", pattern, kind, tr.complaints())
		}
	}
}

func (k *killing) pick() *trainer { return k.trainers[k.rnd.IntN(len(k.trainers))] }

// pause is the random moment.
func (k *killing) pause(most time.Duration) {
	time.Sleep(time.Duration(k.rnd.Int64N(int64(most)))) // the random moment
}

func (k *killing) killDaemon() {
	k.calm.Store(false)
	k.daemons++
	k.m.kill()
}

// restart mounts anew while the trainers go on, or try to.
func (k *killing) restart() {
	k.pause(20 * time.Millisecond)
	k.m.await(k.mountAgain())
}

// mountAgain replaces the dead mount, and returns when the new one has taken its
// place: it may still be recovering. The trainers stand still as long as the bare
// directory shows: what they do there is not ours to judge.
func (k *killing) mountAgain() (says io.Reader) {
	for _, tr := range k.trainers {
		tr.stop()
		defer syscall.Kill(-tr.pgid(), syscall.SIGCONT)
	}
	detach(k.m.mnt)
	says = k.m.spawn()
	for end := time.Now().Add(killBound / 2); mountsOf(k.t, k.m.back) == 0; {
		if time.Now().After(end) {
			k.t.Errorf("it does not mount\n%s", processes())
			break
		}
		time.Sleep(time.Millisecond) // the pace of asking
	}
	return says
}

// endTrainers lets each come to its end, or kills it.
func (k *killing) endTrainers() {
	for _, tr := range slices.Clone(k.trainers) {
		if k.rnd.IntN(2) == 0 {
			tr.finish(k)
		} else {
			tr.kill(k)
		}
	}
}

// hangs ends what hangs so that the test can tell of it.
func (k *killing) hangs() {
	k.t.Errorf("the round hangs after %v: %q\n%s", killBound, k.story, processes())
	if cmd := k.m.cmd; cmd != nil && cmd.Process != nil {
		cmd.Process.Signal(syscall.SIGQUIT) // with its stacks
	}
	syscall.Unmount(k.m.mnt, syscall.MNT_FORCE) // lets go who waits for an answer
	for _, tr := range k.trainers {
		syscall.Kill(-tr.pgid(), syscall.SIGKILL)
	}
}
