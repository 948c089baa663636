package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// bench is one run of `ckptfs bench`.
type bench struct {
	benchPlan
	notes   io.Writer
	scratch string // holds all that is made
	sides   []*benchSide
	leftOut []leftOut
}

// benchConfig commits when it is told to, keeps nothing that a round has left,
// and lists the same names as the disk does.
const benchConfig = `views: {listed: never}
save: {settle: 1h}
retention:
  history: {keep_last: 0}
  trash_ttl: 0s
  protect_last: false
`

// measure mounts below scratch, and unmounts however it ends.
func (b *bench) measure(ctx context.Context) (result benchmark, err error) {
	config := filepath.Join(b.scratch, "config.yaml")
	if err := os.WriteFile(config, []byte(benchConfig), 0o644); err != nil {
		return result, err
	}
	b.sides = []*benchSide{
		newDiskSide(b.scratch),
		newMountedSide(b.scratch, "ckptfs", config),
	}
	if b.noPassthrough {
		b.sides = append(b.sides, newMountedSide(b.scratch, noPassthroughSide, config, "--no-passthrough"))
	}
	for _, p := range b.peers {
		if _, err := exec.LookPath(p.command[0]); err != nil {
			b.leave(p.name, fmt.Sprintf("%s is not installed", p.command[0]))
			continue
		}
		b.sides = append(b.sides, newPeerSide(b.scratch, p))
	}
	// Also after it was interrupted.
	defer func() {
		for _, s := range b.sides {
			err = errors.Join(err, s.takeDown(context.WithoutCancel(ctx)))
		}
	}()
	if err := b.prepareAll(ctx); err != nil {
		return result, err
	}
	rep, err := b.sides[1].daemon().Status()
	if err != nil {
		return result, err
	}
	result = benchmark{
		Size: b.bytes, Rounds: b.rounds, Passthrough: rep.Passthrough, Checkpoints: b.checkpoints, Machine: lookAtMachine(b.scratch),
	}
	for _, s := range b.sides {
		result.Sides = append(result.Sides, s.name)
	}
	b.chooseCases()
	for i := range b.rounds + 1 { // the first warms up, and does not count
		if err := b.round(ctx, i); err != nil {
			return result, err
		}
	}
	if isTerminal(b.notes) {
		fmt.Fprint(b.notes, "\r\x1b[K")
	}
	if result.Memory, err = memoryOf(b.sides[1].daemon()); err != nil {
		return result, err
	}
	b.fill(&result)
	return result, nil
}

// prepareAll leaves out other file systems that cannot be mounted.
func (b *bench) prepareAll(ctx context.Context) error {
	var ready []*benchSide
	defer func() { b.sides = ready }()
	for i, s := range b.sides {
		switch err := b.prepare(ctx, s); {
		case err == nil:
			ready = append(ready, s)
		case s.peer && ctx.Err() == nil:
			b.leave(s.name, err.Error())
			if err := s.takeDown(ctx); err != nil {
				return err
			}
		default:
			ready = b.sides[:i+1] // to be taken down
			return fmt.Errorf("prepare %s: %w", s.name, err)
		}
	}
	return nil
}

// prepare gives a side what is listed and loaded, and mounts it. What ckptfs does
// once, when it meets a directory for the first time, is not measured.
func (b *bench) prepare(ctx context.Context, s *benchSide) error {
	for _, dir := range []string{s.backing, s.dir, filepath.Join(s.backing, benchSaves), filepath.Join(s.backing, benchLoads), filepath.Join(s.backing, benchMany)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := saveBench(ctx, filepath.Join(s.backing, benchLoads, benchCheckpoint(1)), b.bytes, false); err != nil {
		return err
	}
	if err := makeMany(ctx, filepath.Join(s.backing, benchMany), b.checkpoints); err != nil {
		return err
	}
	if err := flush(s.backing); err != nil {
		return err
	}
	if s.mount == nil {
		return nil
	}
	if err := s.mount(ctx); err != nil {
		return err
	}
	_, err := remount(ctx, b, s)
	return err
}

// chooseCases leaves out what this machine cannot measure.
func (b *bench) chooseCases() {
	var chosen []benchCase
	for _, c := range b.cases {
		_, missing := exec.LookPath(c.program)
		switch {
		case c.program != "" && missing != nil:
			b.leave(c.name, fmt.Sprintf("the program %s is not installed", c.program))
		case c.root && os.Geteuid() != 0:
			b.leave(c.name, "only root can empty the caches of the kernel")
		default:
			chosen = append(chosen, c)
		}
	}
	b.cases = chosen
}

func (b *bench) leave(what, why string) { b.leftOut = append(b.leftOut, leftOut{what, why}) }

// round measures every case once on every side, one case after the other: what
// is compared is measured as close together as can be, and who goes first
// changes from round to round.
func (b *bench) round(ctx context.Context, i int) error {
	for _, c := range b.cases {
		for j := range b.sides {
			s := b.sides[(i+j)%len(b.sides)]
			if !c.concerns(s) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if isTerminal(b.notes) {
				fmt.Fprintf(b.notes, "\r\x1b[Kround %d of %d: %s, %s", i, b.rounds, c.name, s.name)
			}
			took, err := c.run(ctx, b, s)
			switch {
			case err == nil && i > 0:
				s.times[c.name] = append(s.times[c.name], took)
			case err != nil && ctx.Err() == nil && s.peer:
				s.gaveUp[c.name] = true // another file system need not be able to do everything
				b.leave(s.name+": "+c.name, err.Error())
			case err != nil:
				return fmt.Errorf("%s, %s: %w", s.name, c.name, err)
			}
		}
	}
	return nil
}

// timed is how long f takes.
func timed(f func() error) (time.Duration, error) {
	started := time.Now()
	err := f()
	return time.Since(started), err
}
