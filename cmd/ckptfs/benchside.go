package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The runs of a side.
const (
	benchSaves = "saves" // what is saved is removed again
	benchLoads = "loads" // one checkpoint
	benchMany  = "many"  // many of small files
)

// noPassthroughSide is the name of the mount that moves all data itself.
const noPassthroughSide = "no passthrough"

func benchCheckpoint(n int) string { return fmt.Sprintf("checkpoint_epoch1_step%d", n) }

// benchSide is one of what is compared: the disk itself, a mount of ckptfs, or
// another file system. Each has a directory of its own.
type benchSide struct {
	name    string
	backing string                      // on the disk
	dir     string                      // where it is shown: the same, on the disk itself
	mount   func(context.Context) error // nil on the disk
	unmount func(context.Context) error
	views   bool                       // dir shows views, and commits
	peer    bool                       // another file system
	times   map[string][]time.Duration // by case, one for each round
	gaveUp  map[string]bool            // the cases that it cannot do
}

func newSide(scratch, name string) *benchSide {
	at := filepath.Join(scratch, strings.ReplaceAll(name, " ", "-"))
	return &benchSide{name: name, backing: at + ".disk", dir: at, times: map[string][]time.Duration{}, gaveUp: map[string]bool{}}
}

func newDiskSide(scratch string) *benchSide {
	s := newSide(scratch, "disk")
	s.dir = s.backing
	return s
}

func newMountedSide(scratch, name, config string, flags ...string) *benchSide {
	s := newSide(scratch, name)
	s.views = true
	args := append([]string{"mount", "--config", config, "--layout", "enstack"}, flags...)
	s.mount = func(ctx context.Context) error {
		// Killed, the command could not take its daemon along.
		return errors.Join(runSelf(context.WithoutCancel(ctx), append(args, s.backing, s.dir)...), ctx.Err())
	}
	s.unmount = func(ctx context.Context) error { return runSelf(context.WithoutCancel(ctx), "umount", s.dir) }
	return s
}

// daemon is the one that serves a side with views.
func (s *benchSide) daemon() daemon { return daemon(s.dir) }

// newest is where the checkpoint of a run is loaded from that was saved last.
func (s *benchSide) newest(run, name string) string {
	if s.views {
		name = "latest"
	}
	return filepath.Join(s.dir, run, name)
}

// takeDown unmounts, if it is mounted.
func (s *benchSide) takeDown(ctx context.Context) error {
	list, err := mounted()
	if err != nil {
		return err
	}
	if m, ok := mountAt(list, s.dir); !ok || s.mount == nil || !strings.HasPrefix(m.fstype, "fuse") {
		return nil
	}
	if err := s.unmount(ctx); err != nil {
		return errors.Join(err, detach(s.dir))
	}
	return nil
}

// benchPeer is another file system to compare with: a command that mounts what
// its last but one argument names at its last.
type benchPeer struct {
	name    string
	command []string
}

func newPeerSide(scratch string, p benchPeer) *benchSide {
	s := newSide(scratch, p.name)
	s.peer = true
	var ended chan error // of the command that serves the mount, or has started what does
	s.mount = func(ctx context.Context) (err error) {
		ended, err = p.serve(ctx, s.backing, s.dir)
		return err
	}
	s.unmount = func(ctx context.Context) error {
		if err := release(ctx, mountEntry{point: s.dir}); err != nil {
			return err
		}
		return <-ended
	}
	return s
}

// serve starts the command, and returns once it has mounted. Then or at the
// unmount, as it likes, the command ends, and says so in the channel.
func (p benchPeer) serve(ctx context.Context, dir, point string) (ended chan error, err error) {
	said, err := os.CreateTemp(filepath.Dir(dir), p.name+"-")
	if err != nil {
		return nil, err
	}
	defer said.Close() // the command has it
	cmd := exec.Command(p.command[0], append(p.command[1:len(p.command):len(p.command)], dir, point)...)
	cmd.Stderr = said                                     // a file, not a pipe: what serves the mount may keep it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for this program alone
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended = make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		list, err := mounted()
		if err != nil {
			return ended, err
		}
		if _, ok := mountAt(list, point); ok {
			return ended, nil
		}
		select {
		case err := <-ended:
			if err != nil {
				why, _ := os.ReadFile(said.Name())
				return nil, fmt.Errorf("%s: %w: %s", p.name, err, bytes.TrimSpace(why))
			}
			ended <- nil // it mounts in the background
		case <-ctx.Done():
			if err := cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
				return ended, errors.Join(ctx.Err(), err)
			}
			return ended, ctx.Err()
		default:
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return ended, err
		}
	}
}

// memoryUse is of a daemon, in bytes.
type memoryUse struct {
	Resident int64 `json:"resident"`
	Most     int64 `json:"most"` // that it ever was
}

// memoryOf reads /proc/PID/status of a daemon.
func memoryOf(d daemon) (*memoryUse, error) {
	rep, err := d.Status()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", rep.PID))
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var use memoryUse
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			use.Resident = kib << 10
		} else if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			use.Most = kib << 10
		}
	}
	return &use, nil
}
