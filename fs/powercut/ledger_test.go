package powercut

import "sync"

// A ledger holds what was promised before the power went: that a save is there,
// or a newer one.
type ledger struct {
	now func() int64 // the state of the disk at which a promise counts

	mu       sync.Mutex
	promises []promise
}

type promise struct {
	run  string // "overwrite"; that of a control has its directory before it
	save int
	at   int64
}

// note enters a promise. It is called after the system has made it.
func (l *ledger) note(run string, save int) {
	at := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promises = append(l.promises, promise{run, save, at})
}

// made is the newest save of each run that was promised at a state of the disk.
func (l *ledger) made(at int64) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := map[string]int{}
	for _, p := range l.promises {
		if p.at <= at {
			newest[p.run] = max(newest[p.run], p.save)
		}
	}
	return newest
}
