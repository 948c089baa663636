package store

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"ckptfs/fs/store/proc"
)

// A disk forgets bytes that nobody reads. With `scrub` a mount reads all that is
// committed, earlier versions included, once in each period: by one thread that
// the disk and the processor serve last, past the page cache, with a rest after
// each piece, and never while a save is being written.
const (
	scrubPass  = "scrub"
	scrubAhead = time.Minute // after a mount, before it goes on with what was interrupted
	scrubSpeed = 64 << 20    // bytes a second at most
)

// scrubbed is what the last scrub has found.
type scrubbed struct {
	Since       time.Time `json:"since"` // when the policy was seen first
	Began       time.Time `json:"began"`
	Ended       time.Time `json:"ended"`
	Checkpoints int       `json:"checkpoints"`
	Bytes       int64     `json:"bytes"`
	Damaged     []string  `json:"damaged"` // what is wrong, by checkpoint
}

// scrubbing is what the scrub that runs has to say.
type scrubbing struct {
	running atomic.Bool
	held    atomic.Bool // by a save
	done    atomic.Int64
	total   atomic.Int64
}

// ScrubStatus is what `status --json` says of scrubbing.
type ScrubStatus struct {
	Every       int64      `json:"every_seconds"`
	Running     bool       `json:"running"`
	Waiting     bool       `json:"waiting"` // for a save that is being written
	BytesDone   int64      `json:"bytes_done"`
	BytesTotal  int64      `json:"bytes_total"`
	Ended       *time.Time `json:"ended"` // of the last one; null before the first
	Checkpoints int        `json:"checkpoints"`
	Bytes       int64      `json:"bytes"`
	Damaged     []string   `json:"damaged"`
	Next        *time.Time `json:"next"`
}

// keepScrubbing is the goroutine that scrubs. Its thread ends with it, and its low
// priority with the thread.
func (s *Store) keepScrubbing() {
	runtime.LockOSThread()
	if err := proc.Idle(); err != nil {
		s.log.Info("scrubbing has the priority of everything else", "err", err)
	}
	ctx := context.Background() // the store's end stops it
	for s.sleep(s.scrubDue()) {
		s.scrub(ctx)
	}
}

// scrubDue is how long it is until the next scrub.
func (s *Store) scrubDue() time.Duration {
	m := &s.remembered
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load(s)
	now := s.clock.Now()
	if m.Passes[scrubPass] != nil {
		return scrubAhead
	}
	if m.Scrub.Since.IsZero() || m.Scrub.Since.After(now) {
		m.Scrub.Since = now
		m.save(s)
	}
	last := m.Scrub.Since
	if m.Scrub.Began.After(last) && !m.Scrub.Began.After(now) {
		last = m.Scrub.Began
	}
	return max(last.Add(s.cfg.Scrub).Sub(now), scrubAhead)
}

// scrub reads everything once.
func (s *Store) scrub(ctx context.Context) {
	s.scrubbing.running.Store(true)
	defer s.scrubbing.running.Store(false)
	rep, err := s.Verify(ctx, VerifyOptions{
		Deep: true, History: true, pass: scrubPass, rest: s.restBetween,
		Progress: func(p VerifyProgress) {
			s.scrubbing.done.Store(p.BytesDone)
			s.scrubbing.total.Store(p.Bytes)
		},
	})
	s.report("scrub", err)
	if rep.Interrupted || s.stopped() {
		return // the next mount goes on with it
	}
	found := scrubbed{Ended: s.clock.Now(), Checkpoints: len(rep.Checkpoints), Bytes: rep.Bytes, Damaged: []string{}}
	found.Began = found.Ended.Add(-time.Duration(rep.Seconds * float64(time.Second)))
	if rep.Since != nil {
		found.Began = *rep.Since
	}
	for _, v := range rep.Checkpoints {
		if v.Version != "" && !v.OK {
			found.Damaged = append(found.Damaged, fmt.Sprintf("%s: %s", v.label(), v.words()))
		}
	}
	m := &s.remembered
	m.mu.Lock()
	found.Since = m.Scrub.Since
	m.Scrub = found
	m.save(s)
	m.mu.Unlock()
	s.log.Info("scrubbed", "checkpoints", found.Checkpoints, "bytes", found.Bytes, "damaged", len(found.Damaged))
	s.event("scrub", ".", found.String())
}

// String says what a scrub has found.
func (f *scrubbed) String() string {
	if len(f.Damaged) == 0 {
		return fmt.Sprintf("%d checkpoints, %d bytes: nothing is damaged", f.Checkpoints, f.Bytes)
	}
	return fmt.Sprintf("%d checkpoints, %d bytes: %d damaged: %s", f.Checkpoints, f.Bytes, len(f.Damaged), Words(f.Damaged))
}

// restBetween lets a save go first, and keeps to the speed.
func (s *Store) restBetween(_ context.Context, bytes int) error {
	for s.savingNow() {
		s.scrubbing.held.Store(true)
		if !s.sleep(recheck) {
			return errStopped
		}
	}
	s.scrubbing.held.Store(false)
	if !s.sleep(time.Duration(float64(bytes) / scrubSpeed * float64(time.Second))) {
		return errStopped
	}
	return nil
}

// savingNow reports whether a save is being written or committed.
func (s *Store) savingNow() bool {
	s.room.mu.Lock()
	writing := s.room.writing
	s.room.mu.Unlock()
	return writing > 0 || s.committing.Load() > 0
}

// sleep waits; false when the store is being closed.
func (s *Store) sleep(d time.Duration) bool {
	over := make(chan struct{})
	stop := s.clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
		return true
	case <-s.stop:
		return false
	}
}

// scrubStatus is nil where nothing is scrubbed.
func (s *Store) scrubStatus() *ScrubStatus {
	if s.cfg.Scrub <= 0 {
		return nil
	}
	due := time.Duration(-1)
	if !s.readOnly && s.opts.Mountpoint != "" {
		due = s.scrubDue()
	}
	m, now := &s.remembered, s.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load(s)
	out := &ScrubStatus{
		Every: int64(s.cfg.Scrub / time.Second), Running: s.scrubbing.running.Load(), Waiting: s.scrubbing.held.Load(),
		BytesDone: s.scrubbing.done.Load(), BytesTotal: s.scrubbing.total.Load(),
		Checkpoints: m.Scrub.Checkpoints, Bytes: m.Scrub.Bytes, Damaged: append([]string{}, m.Scrub.Damaged...),
	}
	if !m.Scrub.Ended.IsZero() {
		at := m.Scrub.Ended
		out.Ended = &at
	}
	if due >= 0 && !out.Running {
		at := now.Add(due)
		out.Next = &at
	}
	return out
}
