package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"time"

	"ckptfs/fs/store"
	"ckptfs/policy"
	"ckptfs/testdata/runs"
)

// steps are the stops of the tour, in order.
var steps = []struct {
	title string
	take  func(*tour) error
}{
	{"Mount over the directory that a job saves to", (*tour).mounts},
	{"The checkpoints, and the views that show them", (*tour).lists},
	{"Why resume/ shows what it shows", (*tour).explains},
	{"A job saves over last_checkpoint in place, and is killed half-way", (*tour).killed},
	{"The job runs again, and its save succeeds", (*tour).saves},
	{"Prune the mid-epoch checkpoints", (*tour).prunes},
	{"Unmount: what is left is a plain directory of whole checkpoints", (*tour).unmounts},
}

func (t *tour) mounts() error { return t.ckptfs("mount", demoRun) }

func (t *tour) lists() error {
	if err := t.ckptfs("ls", demoRun); err != nil {
		return err
	}
	return errors.Join(t.shows("resume", "last_checkpoint"), t.shows("latest", "checkpoint_epoch3_step4"), t.shows("best", "best_model"))
}

func (t *tour) explains() error { return t.ckptfs("explain", demoRun, "resume") }

// killed has a job overwrite the very checkpoint that resume/ shows, and kills
// it by SIGKILL when half of the bytes are written.
func (t *tour) killed() error {
	before, err := t.content(demoRun + "/resume")
	if err != nil {
		return err
	}
	t.types("python train.py --output_dir " + demoRun + " &")
	job := self(t.ctx, "demo-save", "--half", demoNext, demoRun+"/last_checkpoint")
	job.Dir = t.dir
	said, err := job.StdoutPipe()
	if err != nil {
		return err
	}
	if err := job.Start(); err != nil {
		return err
	}
	word, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("the job came to no half: %w", err), job.Wait())
	}
	fmt.Fprint(t.out, word)
	meanwhile := t.same(demoRun+"/resume", before)
	t.types("kill -9 %1")
	if err := job.Process.Kill(); err != nil {
		return err
	}
	job.Wait() // it was killed
	if err := errors.Join(meanwhile, t.same(demoRun+"/resume", before)); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "resume/ is what it was, byte for byte: while the job wrote, and now.")
	return t.ckptfs("status", demoRun)
}

// commitBound is how long a commit is waited for that comes by itself, when a
// save has been quiet for a second.
const commitBound = 20 * time.Second

func (t *tour) saves() error {
	after, err := t.content(demoNext)
	if err != nil {
		return err
	}
	t.types("python train.py --output_dir " + demoRun + " --resume " + demoRun + "/resume")
	job := self(t.ctx, "demo-save", demoNext, demoRun+"/last_checkpoint")
	job.Dir, job.Stderr = t.dir, t.out
	if err := job.Run(); err != nil {
		return fmt.Errorf("the job: %w", err)
	}
	deadline := time.Now().Add(commitBound)
	for {
		err := t.same(demoRun+"/resume", after)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not committed after %s: %w", commitBound, err)
		}
		if err := pause(t.ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	fmt.Fprintln(t.out, "It is committed; resume/ has moved to it, all files at once.")
	return t.ckptfs("ls", demoRun)
}

func (t *tour) prunes() error {
	if err := t.ckptfs("prune", "--keep-last", "1", "--yes", demoRun); err != nil {
		return err
	}
	after, err := t.content(demoNext)
	if err != nil {
		return err
	}
	if err := t.same(demoRun+"/resume", after); err != nil {
		return err
	}
	rows, err := t.rows()
	if err != nil {
		return err
	}
	midEpoch := 0
	for _, row := range rows {
		if row.Kind == "mid_epoch" {
			midEpoch++
		}
	}
	if midEpoch != 1 {
		return fmt.Errorf("%d mid-epoch checkpoints are left, not 1", midEpoch)
	}
	return nil
}

func (t *tour) unmounts() error {
	if err := t.ckptfs("umount", demoRun); err != nil {
		return err
	}
	t.types("ls " + demoRun)
	list, err := os.ReadDir(filepath.Join(t.dir, demoRun))
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name() == store.Private {
			continue
		}
		fmt.Fprintln(t.out, e.Name())
		if err := t.whole(e.Name()); err != nil {
			return err
		}
	}
	if err := t.ckptfs("ls", demoRun); err != nil {
		return err
	}
	rows, err := t.rows()
	for _, row := range rows {
		if row.State != policy.Committed {
			err = errors.Join(err, fmt.Errorf("%s is %s, not committed", row.Name, row.State))
		}
	}
	return err
}

// whole checks a checkpoint of the plain directory against what was saved under
// its name.
func (t *tour) whole(name string) error {
	want := map[string]string{}
	from := path.Join("enstack", name)
	if name == "last_checkpoint" {
		from = "enstack/checkpoint_epoch3_step4"
	}
	list, err := fs.ReadDir(runs.FS, from)
	if err != nil {
		return err
	}
	for _, e := range list {
		b, err := fs.ReadFile(runs.FS, path.Join(from, e.Name()))
		if err != nil {
			return err
		}
		want[e.Name()] = string(b)
	}
	return t.same(path.Join(demoRun, name), want)
}

// same checks the bytes of every file of a directory.
func (t *tour) same(name string, want map[string]string) error {
	got, err := t.content(name)
	if err != nil {
		return err
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("%s holds other bytes than it should", name)
	}
	return nil
}

// shows checks what a view resolves to.
func (t *tour) shows(view, name string) error {
	rep, err := daemon(filepath.Join(t.dir, demoRun)).Status()
	if err != nil {
		return err
	}
	for _, r := range rep.Runs {
		if r.Path == "." && r.Views[view] == name {
			return nil
		}
	}
	return fmt.Errorf("%s/ does not show %s", view, name)
}

// rows are the checkpoints of the run as `ckptfs ls` has them, mounted or not.
func (t *tour) rows() ([]store.CheckpointRow, error) {
	target, err := findTarget(filepath.Join(t.dir, demoRun))
	if err != nil {
		return nil, err
	}
	src, err := look(target, "")
	if err != nil {
		return nil, err
	}
	defer src.Close() // it was only read
	all, err := src.List()
	if err != nil {
		return nil, err
	}
	rep, _ := selectRows(all, target, false)
	var rows []store.CheckpointRow
	for _, r := range rep.Runs {
		rows = append(rows, r.Checkpoints...)
	}
	return rows, nil
}
