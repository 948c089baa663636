package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
)

// deletions is `bench --deleting SIZE --json`: what saving costs while a history is
// deleted. All of it is measured in one run, through one mount.
type deletions struct {
	Size        int64    `json:"size"`    // of a save, in bytes
	History     int64    `json:"history"` // bytes that are deleted
	Passthrough bool     `json:"passthrough"`
	Save        slowdown `json:"save"`   // to the close of the last file
	Commit      slowdown `json:"commit"` // until it is committed and durable
}

// slowdown holds medians in seconds, and how many times as long as alone it took.
type slowdown struct {
	Alone       float64 `json:"alone"`
	Background  float64 `json:"background"` // while ckptfs empties its trash
	Remove      float64 `json:"remove"`     // while rm -r removes as much
	Ratio       float64 `json:"ratio"`      // of Background to Alone
	RemoveRatio float64 `json:"remove_ratio"`
}

// The history is deleted in several cycles, and saves are timed alone in each of
// them: what else the machine does changes in the course of minutes.
const (
	deleteCycles = 5
	deleteAlone  = 3 // saves alone in a cycle
	deleteMost   = 6 // saves in a cycle while something is deleted
)

// oldCheckpoint is the size of the checkpoints that are deleted.
const oldCheckpoint = 2 << 30

// deleteBench saves through a mount while a history of so many bytes is deleted.
type deleteBench struct {
	side    *benchSide
	mount   string
	direct  string // beside the mount, for rm -r
	notes   io.Writer
	bytes   int64
	history int64
	saves   int      // how many there were
	saved   []string // those that are there
}

// timing is how long saves took.
type timing struct{ save, commit []time.Duration }

func runDeleteBench(ctx context.Context, out, notes io.Writer, opts benchOptions, bytes int64, arg string) error {
	history, err := humanize.ParseBytes(opts.deleting)
	if err != nil || history == 0 || history > 1<<50 {
		return usageError("bench: --deleting %s: write a number and a unit, such as 10GiB", opts.deleting)
	}
	abs, err := filepath.Abs(arg)
	if err != nil {
		return err
	}
	dir, err := directory(abs)
	if err != nil {
		return err
	}
	// Saves are kept until the end of a cycle: what is replaced or removed would be
	// deleted too.
	need := (deleteAlone+2*deleteMost)*bytes + int64(history)/deleteCycles
	if sp, err := spaceOf(dir); err != nil {
		return err
	} else if sp.Free < need {
		return fmt.Errorf("%s has %s free, and %s is needed; give a smaller --size or --deleting", dir, size(sp.Free), size(need))
	}
	scratch, err := os.MkdirTemp(dir, ".ckptfs-bench-")
	if err != nil {
		return err
	}
	result, err := measureDeletions(ctx, notes, scratch, bytes, int64(history))
	if err := errors.Join(err, os.RemoveAll(scratch)); err != nil {
		return err
	}
	if opts.json {
		return writeJSON(out, result)
	}
	return result.print(out)
}

// measureDeletions mounts below scratch, and unmounts however it ends.
func measureDeletions(ctx context.Context, notes io.Writer, scratch string, bytes, history int64) (d deletions, err error) {
	config := filepath.Join(scratch, "config.yaml")
	if err := os.WriteFile(config, []byte(benchConfig), 0o644); err != nil {
		return d, err
	}
	direct, side := filepath.Join(scratch, "direct"), newMountedSide(scratch, "ckptfs", config)
	for _, dir := range []string{direct, side.backing, side.dir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return d, err
		}
	}
	defer func() { err = errors.Join(err, side.takeDown(context.WithoutCancel(ctx))) }()
	if err := side.mount(ctx); err != nil {
		return d, fmt.Errorf("mount for the measurement: %w", err)
	}
	rep, err := side.daemon().Status()
	if err != nil {
		return d, err
	}
	b := deleteBench{side: side, mount: side.dir, direct: direct, notes: notes, bytes: bytes, history: history}
	d, err = b.run(ctx)
	d.Passthrough = rep.Passthrough
	if isTerminal(notes) {
		fmt.Fprint(notes, "\r\x1b[K")
	}
	return d, err
}

func (b *deleteBench) run(ctx context.Context) (d deletions, err error) {
	d.Size, d.History = b.bytes, b.history
	var alone, background, remove timing
	for cycle := range deleteCycles {
		part := b.history*int64(cycle+1)/deleteCycles - b.history*int64(cycle)/deleteCycles
		if err := b.tidy(ctx); err != nil {
			return d, err
		}
		if err := b.emptyTrash(ctx, part, &alone, &background); err != nil {
			return d, err
		}
		if err := b.remove(ctx, part, &remove); err != nil {
			return d, err
		}
	}
	d.Save = slow(alone.save, background.save, remove.save)
	d.Commit = slow(alone.commit, background.commit, remove.commit)
	return d, nil
}

// tidy removes what was saved so far, and waits until the disk has it back.
func (b *deleteBench) tidy(ctx context.Context) error {
	for _, dir := range b.saved {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	b.saved = nil
	return errors.Join(b.side.emptyTrash(ctx), flush(b.direct))
}

// emptyTrash times saves beside a history of so many bytes, and then while ckptfs
// removes it in the background.
func (b *deleteBench) emptyTrash(ctx context.Context, bytes int64, alone, t *timing) error {
	names, err := b.fill(ctx, b.mount, bytes)
	if err != nil {
		return err
	}
	if err := b.saveSome(ctx, alone, deleteAlone); err != nil {
		return err
	}
	for _, dir := range names {
		if err := os.RemoveAll(dir); err != nil { // into the trash
			return err
		}
	}
	if err := daemon(b.mount).control("housekeep"); err != nil {
		return err
	}
	return b.saveWhile(ctx, t, b.inTrash)
}

// remove times saves while rm -r removes so many bytes beside the mount.
func (b *deleteBench) remove(ctx context.Context, bytes int64, t *timing) error {
	names, err := b.fill(ctx, b.direct, bytes)
	if err != nil {
		return err
	}
	removed := make(chan error, 1)
	go func() {
		var errs []error
		for _, dir := range names {
			errs = append(errs, os.RemoveAll(dir))
		}
		removed <- errors.Join(errs...)
	}()
	over := false
	err = b.saveWhile(ctx, t, func() (bool, error) {
		select {
		case err := <-removed:
			over = true
			return false, err
		default:
			return true, nil
		}
	})
	if !over {
		err = errors.Join(err, <-removed)
	}
	return err
}

func slow(alone, background, remove []time.Duration) slowdown {
	s := slowdown{Alone: median(alone).Seconds(), Background: median(background).Seconds(), Remove: median(remove).Seconds()}
	s.Ratio, s.RemoveRatio = s.Background/s.Alone, s.Remove/s.Alone
	return s
}

// fill writes the checkpoints that are to be deleted, and has them on the disk.
func (b *deleteBench) fill(ctx context.Context, dir string, bytes int64) (names []string, err error) {
	b.note("writing %s to delete", size(bytes))
	for left := bytes; left > 0; left -= oldCheckpoint {
		name := fmt.Sprintf("checkpoint_epoch1_step%d", len(names)+1)
		names = append(names, filepath.Join(dir, name))
		if err := saveBench(ctx, names[len(names)-1], min(left, oldCheckpoint), false); err != nil {
			return nil, err
		}
		if dir == b.mount {
			if err := daemon(b.mount).Commit(name, false); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(b.direct); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := b.forget(name); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// saveSome times so many saves.
func (b *deleteBench) saveSome(ctx context.Context, t *timing, n int) error {
	for range n {
		if err := b.save(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// saveWhile times saves while something is still going on: the first, and each
// that ends before that.
func (b *deleteBench) saveWhile(ctx context.Context, t *timing, going func() (bool, error)) error {
	for i := range deleteMost {
		if err := b.save(ctx, t); err != nil {
			return err
		}
		more, err := going()
		if err != nil {
			return err
		}
		if !more {
			if n := len(t.save) - 1; i > 0 {
				t.save, t.commit = t.save[:n], t.commit[:n]
			}
			return nil
		}
	}
	b.note("waiting until it is deleted")
	return wait(ctx, going)
}

// inTrash reports whether anything is left there.
func (b *deleteBench) inTrash() (bool, error) {
	rep, err := daemon(b.mount).Status()
	return rep.Trash.Entries > 0, err
}

// wait returns when it is no longer going on.
func wait(ctx context.Context, going func() (bool, error)) error {
	for {
		more, err := going()
		if err != nil || !more {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// save times one, which is a checkpoint of its own.
func (b *deleteBench) save(ctx context.Context, t *timing) error {
	b.saves++
	b.note("save %d", b.saves)
	name := fmt.Sprintf("checkpoint_epoch2_step%d", b.saves)
	dir := filepath.Join(b.mount, name)
	b.saved = append(b.saved, dir)
	began := time.Now()
	if err := saveBench(ctx, dir, b.bytes, false); err != nil {
		return err
	}
	t.save = append(t.save, time.Since(began))
	if err := daemon(b.mount).Commit(name, false); err != nil {
		return err
	}
	t.commit = append(t.commit, time.Since(began))
	return b.forget(dir)
}

// forget takes a checkpoint out of the page cache: else whatever is deleted gives
// memory to the next save, which in a virtual machine counts for more than the disk.
func (b *deleteBench) forget(dir string) error {
	if filepath.Dir(dir) == b.mount {
		dir = filepath.Join(b.side.backing, filepath.Base(dir))
	}
	return evict(dir)
}

func (b *deleteBench) note(format string, args ...any) {
	if isTerminal(b.notes) {
		fmt.Fprintf(b.notes, "\r\x1b[K"+format, args...)
	}
}

func (d deletions) print(out io.Writer) error {
	through := "without passthrough"
	if d.Passthrough {
		through = "with passthrough"
	}
	fmt.Fprintf(out, "A save of %s, %s, alone and while %s are deleted; medians\n", size(d.Size), through, size(d.History))
	table := newTable(out)
	fmt.Fprintln(table, "\tALONE\tBACKGROUND\tRATIO\tRM -R\tRATIO")
	for _, row := range []struct {
		name string
		slowdown
	}{{"save", d.Save}, {"commit", d.Commit}} {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", row.name, duration(row.Alone), duration(row.Background), ratio(row.Ratio),
			duration(row.Remove), ratio(row.RemoveRatio))
	}
	return table.Flush()
}
