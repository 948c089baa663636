package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// health is how the daemon behind a mount is doing.
type health int

const (
	alive  health = iota
	dead          // it was killed: every call fails with ENOTCONN
	silent        // it hangs, and so does who asks
)

// answerBound is how long a daemon may take to answer a question that costs it
// nothing.
const answerBound = 3 * time.Second

// health asks the daemon behind a mount, by a call that the kernel never answers
// from its caches.
func (m mountEntry) health() health {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(m.point, &st)
	}()
	select {
	case err := <-answer:
		if errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) {
			return dead
		}
		return alive
	case <-time.After(answerBound):
		return silent
	}
}

// healthy is the error for a mount that cannot be asked anything.
func (m mountEntry) healthy() error {
	switch m.health() {
	case dead:
		return fmt.Errorf("%s: its ckptfs was killed; mount it again, nothing committed is lost: ckptfs mount %s", m.point, m.source)
	case silent:
		return fmt.Errorf("%s: its ckptfs does not answer; take it away with: ckptfs umount --force %s", m.point, m.point)
	}
	return nil
}
