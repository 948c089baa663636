package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/policy"
)

// pruneAll is a policy that would delete every mid-epoch checkpoint at once.
func pruneAll(c *policy.Config) {
	c.Retention.MidEpoch = policy.Rule{KeepLast: new(int), When: policy.WhenAlways}
}

// names lists the live checkpoints.
func (b *bench) names() []string {
	b.t.Helper()
	names, err := b.process().list("")
	b.must(err)
	return names
}

// Pruning happens after a commit, and each deletion has its reason.
func TestPruneAfterACommit(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.configure(func(c *policy.Config) {
			c.Retention.MidEpoch = policy.Rule{KeepLast: new(2), When: policy.WhenAlways}
		})
		p := b.process()
		for step := range byte(5) {
			c := content{fmt.Sprint(step), 1, step + 1}
			b.must(p.save(numbered(c), c))
			b.settle()
			b.check(numbered(c))
		}
		want := []string{"checkpoint_epoch1_step4", "checkpoint_epoch1_step5"}
		if got := b.names(); !slices.Equal(got, want) {
			t.Errorf("left are %q, want %q", got, want)
		}
		if got := b.happened("prune"); len(got) != 3 {
			t.Errorf("prunes: %q", got)
		}
		if n := b.Status().Pruned; n != 3 {
			t.Errorf("%d are counted", n)
		}
	})
}

// P6: whatever the policy says, these stay.
func TestPruneNever(t *testing.T) {
	a, z := content{"a", 1, 1}, content{"z", 1, 2}
	for _, c := range []struct {
		name  string
		use   func(b *bench) (end func())
		stays bool // also after the end
	}{
		{name: "while it is open", use: func(b *bench) func() {
			p := b.process()
			h, err := p.openFile(numbered(a)+"/config.json", 0)
			b.must(err)
			return func() { b.must(p.close(h)) }
		}},
		{name: "while a view of it is known", use: func(b *bench) func() {
			v := b.version("by-step/1")
			v.Hold()
			return v.Unhold
		}},
		{name: "while it is saved", use: func(b *bench) func() {
			p := b.process()
			h, err := p.create(numbered(a) + "/config.json")
			b.must(err)
			return func() {
				_, err := h.Write(a.files()["config.json"])
				b.must(err)
				b.must(p.close(h))
				p.exit(0)
			}
		}},
		{name: "while latest/ resolves to it", stays: true, use: func(b *bench) func() {
			b.must(b.process().removeAll(numbered(z)))
			return func() {}
		}},
		{name: "pinned", stays: true, use: func(b *bench) func() {
			rec := b.locate(numbered(a)).rec
			rec.mu.Lock()
			b.change(rec, func() { b.pins[numbered(a)] = "" })
			rec.mu.Unlock()
			return func() {}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{numbered(a): a, numbered(z): z})
				b.configure(pruneAll)
				end := c.use(b)
				b.pass(10 * housekeeping)
				if !slices.Contains(b.names(), numbered(a)) {
					t.Fatal("it was pruned")
				}
				b.check("in use")
				end()
				b.pass(10 * housekeeping)
				if got := slices.Contains(b.names(), numbered(a)); got != c.stays {
					t.Errorf("no longer in use, it is there: %v, want %v", got, c.stays)
				}
				b.check("no longer in use")
			})
		})
	}
}

// A decision that was overtaken is not carried out.
func TestDeleteOnlyWhatWasDecidedAbout(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := content{"a", 1, 1}
		b.seed(map[string]content{last: {"old", 2, 0}, numbered(a): a})
		was := b.version("by-step/1").ID
		b.seed(map[string]content{numbered(a): {"b", 1, 1}})
		if err := b.Delete(numbered(a), "20260101T000000.000-001", "test"); err == nil {
			t.Error("a version that never was is deleted")
		}
		b.must(b.Delete(numbered(a), was, "test")) // by now in the history
		b.shows("deleted from the history", map[string]string{"by-step/1": "b"})
		if err := b.Delete(last, b.version("resume").ID, "test"); err == nil {
			t.Error("what resume/ resolves to is deleted")
		}
		// It was not in use when it was decided about, and is now.
		v := b.version("by-step/1")
		v.Hold()
		if err := b.Delete(numbered(a), v.ID, "test"); err == nil {
			t.Error("what a view shows somebody is deleted")
		}
		v.Unhold()
		p := b.process()
		h, err := p.openFile(numbered(a)+"/config.json", unix.O_RDONLY)
		b.must(err)
		if err := b.Delete(numbered(a), v.ID, "test"); err == nil {
			t.Error("what somebody has open is deleted")
		}
		b.must(p.close(h))
		g, err := p.create(numbered(a) + "/log.txt")
		b.must(err)
		if err := b.Delete(numbered(a), v.ID, "test"); err == nil {
			t.Error("what is being saved is deleted")
		}
		b.must(p.unlink(numbered(a) + "/log.txt"))
		b.must(p.close(g))
		b.settle()
		b.must(b.Delete(numbered(a), b.version("by-step/1").ID, "test"))
		b.shows("deleted", map[string]string{"by-step/1": "", "resume": "old"})
		b.check("deleted")
	})
}

// dry_run deletes nothing and says what it would have.
func TestPruneDryRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		a := content{"a", 1, 1}
		b.seed(map[string]content{last: {"old", 2, 0}, numbered(a): a})
		b.configure(func(c *policy.Config) {
			pruneAll(c)
			c.Retention.DryRun = true
		})
		b.pass(time.Hour)
		if !slices.Contains(b.names(), numbered(a)) || len(b.happened("would-prune")) == 0 {
			t.Errorf("left %q, events %q", b.names(), b.happened("would-prune"))
		}
	})
}

// dry_run reports each version once, and keeps earlier versions too.
func TestPruneDryRunReportsOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"zero", 1, 0}, numbered(content{"a", 1, 1}): {"a", 1, 1}})
		b.configure(func(c *policy.Config) {
			pruneAll(c)
			c.Retention.History.KeepLast = new(0)
			c.Retention.DryRun = true
		})
		b.seed(map[string]content{last: {"one", 2, 0}})
		b.seed(map[string]content{last: {"two", 3, 0}})
		b.pass(time.Hour)
		if got := b.happened("would-prune"); len(got) != 3 {
			t.Errorf("reported are %q, want the mid-epoch checkpoint and two earlier versions, once each", got)
		}
		if got := b.whatIsLeft(); len(got) != 4 {
			t.Errorf("left are %q", got)
		}
	})
}

// What the history loses is pruned, with an event and a reason, unless the
// configuration says that it keeps all.
func TestHistoryIsPrunedWithAReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(c *policy.Config)
		pinned bool
		left   int // earlier versions
	}{
		{name: "the default", left: 1},
		{name: "none", config: func(c *policy.Config) { c.Retention.History.KeepLast = new(0) }, left: 0},
		{name: "all", config: func(c *policy.Config) { c.Retention.History.KeepLast = nil }, left: 3},
		{name: "pinned", pinned: true, left: 1}, // a pin keeps what is committed
		{name: "too old", left: 0, config: func(c *policy.Config) {
			c.Retention.History = policy.Rule{MaxAge: time.Minute}
		}},
		{name: "a budget of one", left: 1, config: func(c *policy.Config) {
			c.Retention.History.KeepLast, c.Retention.HistoryTotal = nil, policy.Share{Bytes: 32 << 10}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				if c.config != nil {
					b.configure(c.config)
				}
				b.seed(map[string]content{last: {"zero", 1, 0}})
				if c.pinned {
					b.must(b.Pin(last, ""))
				}
				for epoch := byte(2); epoch < 5; epoch++ {
					b.seed(map[string]content{last: {fmt.Sprint(epoch), epoch, 0}})
				}
				b.pass(10 * housekeeping)
				rec := b.locate(last).rec
				if got := len(rec.history); got != c.left {
					t.Errorf("%d earlier versions are left, want %d", got, c.left)
				}
				if got := b.happened("prune"); len(got) != 3-c.left {
					t.Errorf("prunes: %q", got)
				}
				b.check("pruned")
			})
		})
	}
}

// What is said of some runs holds there and nowhere else.
func TestPruneByRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		file := "retention: {mid_epoch: {keep_last: 2, when: always}}\nruns: {two: {retention: {mid_epoch: {keep_last: 1}}}}"
		cfg, err := policy.Parse("f", []byte(file))
		b.must(err)
		b.configure(func(c *policy.Config) { *c = cfg })
		for _, run := range []string{"one", "two"} {
			b.must(b.process().mkdir(run))
			for step := byte(1); step < 5; step++ {
				c := content{run, 1, step}
				b.must(b.process().save(run+"/"+numbered(c), c))
				b.settle()
			}
		}
		for run, want := range map[string]int{"one": 2, "two": 1} {
			names, err := b.process().list(run)
			b.must(err)
			if len(names) != want {
				t.Errorf("%s: left are %q, want %d", run, names, want)
			}
		}
	})
}
