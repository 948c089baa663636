package store

import (
	"os"
	"strings"
	"testing"
	"time"

	"ckptfs/policy"
)

const week = 7 * 24 * time.Hour

// inScrubbed is inWatched with a mount that scrubs once a week.
func inScrubbed(t *testing.T, f func(b *bench)) {
	t.Helper()
	inWatched(t, func(b *bench) {
		b.configure(func(c *policy.Config) { c.Scrub = week })
		f(b)
	})
}

// leadsTo fails the test unless resume/ leads to a name, whatever is in it.
func (b *bench) leadsTo(when, name string) {
	b.t.Helper()
	if v := b.version("resume"); v == nil || v.Name != name {
		b.t.Errorf("%s: resume/ leads to %v, want %s", when, v, name)
	}
}

// Once in each period everything is read, what has rotted is marked, and status
// tells of it; also when the mount is not there all the time.
func TestScrub(t *testing.T) {
	inScrubbed(t, func(b *bench) {
		b.seedTold(map[string]content{last: {"last", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		b.must(flipByte(b.backing(last + "/" + weights)))
		b.pass(week / 2)
		b.stop()
		time.Sleep(week / 4)
		b.start()
		b.leadsTo("not scrubbed", last)
		if s := b.Status().Scrub; s == nil || s.Ended != nil || s.Next == nil || s.Next.Sub(time.Now()) > week/4 {
			t.Errorf("status says %+v", s)
		}
		b.pass(week/4 + time.Minute)
		b.shows("scrubbed", map[string]string{"resume": "spare"})
		s := b.Status().Scrub
		if s.Ended == nil || s.Checkpoints != 2 || len(s.Damaged) != 1 || !strings.Contains(s.Damaged[0], rotten) {
			t.Fatalf("status says %+v", s)
		}
		if events := b.happened("scrub"); len(events) != 1 || !strings.Contains(events[0], rotten) {
			t.Errorf("events: %q", events)
		}
		b.restart()
		if again := b.Status().Scrub; again.Ended == nil || !again.Ended.Equal(*s.Ended) || len(again.Damaged) != 1 {
			t.Errorf("mounted again, status says %+v", again)
		}
		b.must(flipByte(b.backing(last + "/" + weights)))
		b.pass(week + time.Minute)
		b.shows("copied back and scrubbed", map[string]string{"resume": "last"})
		if s := b.Status().Scrub; len(s.Damaged) != 0 {
			t.Errorf("status says %+v", s)
		}
	})
}

// While a save is written nothing is scrubbed; when the mount goes, the next one
// goes on with it.
func TestScrubWaitsForSaves(t *testing.T) {
	inScrubbed(t, func(b *bench) {
		b.seedTold(map[string]content{last: {"last", 1, 0}, "recovery_checkpoint": {"spare", 1, 1}})
		p := b.process()
		b.must(p.mkdir("checkpoint_epoch9_step1"))
		_, err := p.create("checkpoint_epoch9_step1/" + weights)
		b.must(err)
		b.must(flipByte(b.backing(last + "/" + weights)))
		b.pass(week + time.Hour)
		if s := b.Status().Scrub; !s.Running || !s.Waiting || s.BytesDone != 0 {
			t.Errorf("while a save is written: %+v", s)
		}
		b.leadsTo("waiting", last)
		b.stop()
		p.die()
		b.start()
		b.pass(scrubAhead / 2)
		b.leadsTo("not yet", last)
		b.pass(scrubAhead)
		b.shows("mounted again", map[string]string{"resume": "spare"})
		if _, err := os.Stat(b.backing(verifyFile)); err != nil {
			t.Error(err)
		}
	})
}
