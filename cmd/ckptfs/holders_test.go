package main

import (
	"os"
	"testing"
	"time"
)

// A process that cannot be looked at is passed over; whoever asks goes on.
func TestStuckProcessIsPassedOver(t *testing.T) {
	never := make(chan bool)
	defer close(never)
	began := time.Now()
	if _, ok := answers(func() (holder, bool) { <-never; return holder{}, true }); ok {
		t.Error("what did not answer is a holder")
	}
	if took := time.Since(began); took < lookBound {
		t.Errorf("it was given %v", took)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	h, ok := answers(func() (holder, bool) { return holds("/proc/self", dir, anyMount) })
	if !ok || h.path != dir {
		t.Errorf("this process (%d) holds %+v, %v", os.Getpid(), h, ok)
	}
}
