package store

import (
	"encoding/json"
	"sync"
	"time"
)

// verifyFile remembers which verifications were interrupted and what they had
// proved, and when everything was scrubbed last. Losing it costs reading again.
const verifyFile = Private + "/verify.json"

// maxVerifyFile bounds it, in bytes; more is not remembered.
const maxVerifyFile = 16 << 20

// passKept is how long an interrupted verification can be gone on with.
const passKept = 24 * time.Hour

// passSaved is how often a verification writes down how far it is.
const passSaved = 5 * time.Second

// memory is what verifyFile holds. A pass is there from its first byte until its
// end: what is found in it was interrupted.
type memory struct {
	mu     sync.Mutex
	loaded bool
	saved  time.Time

	Passes map[string]*pass `json:"passes"`
	Scrub  scrubbed         `json:"scrub"`
}

// pass is one verification, however often it is interrupted.
type pass struct {
	Began  time.Time                    `json:"began"`
	Proved map[string]map[string]string `json:"proved"` // by version, file: what proves it

	mu *sync.Mutex // the memory's
}

// load reads what an earlier ckptfs has left. Needs mu.
func (m *memory) load(s *Store) {
	if m.loaded {
		return
	}
	m.loaded = true
	if b, err := s.readFile(verifyFile, maxVerifyFile); err == nil {
		if err := json.Unmarshal(b, m); err != nil {
			s.log.Warn("what was verified before is not readable; it is verified again", "err", err)
			m.Passes, m.Scrub = nil, scrubbed{}
		}
	}
	if m.Passes == nil {
		m.Passes = map[string]*pass{}
	}
}

// save writes it. Needs mu.
func (m *memory) save(s *Store) {
	m.saved = s.clock.Now()
	b, err := json.Marshal(m)
	if err != nil {
		s.report("remember what was verified", err)
		return
	}
	if len(b) > maxVerifyFile {
		return
	}
	s.report("remember what was verified", s.writeFile("verify:pass", verifyFile, append(b, '\n'), false))
}

// beginPass goes on with an interrupted verification, which began at since, or
// begins one.
func (s *Store) beginPass(name string, again bool) (p *pass, since *time.Time) {
	m := &s.remembered
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load(s)
	now := s.clock.Now()
	for other, p := range m.Passes {
		if p == nil || p.Began.After(now) || now.Sub(p.Began) > passKept && other != scrubPass {
			delete(m.Passes, other)
		}
	}
	if p = m.Passes[name]; p != nil && !again {
		since = &p.Began
	} else {
		p = &pass{Began: now}
	}
	if p.Proved == nil {
		p.Proved = map[string]map[string]string{}
	}
	p.mu = &m.mu
	m.Passes[name] = p
	return p, since
}

// proved says what proved a file before the interruption.
func (p *pass) proved(version, file string) (by string, ok bool) {
	if p == nil {
		return "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	by, ok = p.Proved[version][file]
	return by, ok
}

// prove notes that a file is proved.
func (p *pass) prove(version, file, by string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Proved[version] == nil {
		p.Proved[version] = map[string]string{}
	}
	p.Proved[version][file] = by
}

// keepPass writes down how far a pass is, now or when it is time again.
func (s *Store) keepPass(p *pass, now bool) {
	if p == nil {
		return
	}
	m := &s.remembered
	m.mu.Lock()
	defer m.mu.Unlock()
	if now || s.clock.Now().Sub(m.saved) >= passSaved {
		m.save(s)
	}
}

// endPass forgets a pass that has come to its end.
func (s *Store) endPass(name string) {
	m := &s.remembered
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.Passes, name)
	m.save(s)
}
