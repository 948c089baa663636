package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ckptfs/layout"
)

// pattern is one way in which trainers replace a checkpoint.
type pattern struct {
	name string
	save func(p *process, c content) error
	// gap says that the trainer deletes before it has saved: until the new one is
	// committed, the run has what else there is.
	gap bool
	// renames says that the trainer renames checkpoints itself.
	renames bool
	// given is what an attempt that was given up when it was complete has written:
	// ckptfs may die before it can know.
	given string
	// to is the name that is overwritten, "" for last; spread the layout where it is
	// of files.
	to     string
	spread *layout.Layout
}

const (
	last   = "last_checkpoint"
	tmp    = ".tmp_last_checkpoint_abcdefgh"
	backup = ".backup_last_checkpoint"
)

// target is the name that a save goes to.
func (n pattern) target(c content) string {
	if n.name == "in place, new" {
		return numbered(c)
	}
	return n.last()
}

// last is the name that a run of such saves begins with, spare that of another
// checkpoint in it.
func (n pattern) last() string {
	if n.to != "" {
		return n.to
	}
	return last
}

func (n pattern) spare() string {
	if n.spread != nil {
		return "recovery.pth"
	}
	return "recovery_checkpoint"
}

// use has a bench know the checkpoints that a pattern saves.
func (b *bench) use(n pattern) {
	if n.spread != nil {
		b.layouts = []*layout.Layout{n.spread}
	}
}

// patterns are the guide's trainer's and its relatives'.
var patterns = []pattern{
	{name: "in place, new", save: func(p *process, c content) error { return p.save(numbered(c), c) }},
	{name: "overwrite in place", save: func(p *process, c content) error { return p.save(last, c) }},
	{name: "temporary, then rename", gap: true, renames: true, save: func(p *process, c content) error {
		if err := p.removeAll(tmp); err != nil {
			return err
		}
		if err := p.save(tmp, c); err != nil {
			return err
		}
		if err := p.removeAll(last); err != nil {
			return err
		}
		return p.rename(tmp, last)
	}},
	{name: "rename aside, rename in, remove", renames: true, save: func(p *process, c content) error {
		for _, stale := range []string{tmp, backup} { // as the trainer does at its start
			if err := p.removeAll(stale); err != nil {
				return err
			}
		}
		if err := p.save(tmp, c); err != nil {
			return err
		}
		if err := p.rename(last, backup); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		if err := p.rename(tmp, last); err != nil {
			return err
		}
		return p.removeAll(backup)
	}},
	{name: "remove, then write", gap: true, save: func(p *process, c content) error {
		if err := p.removeAll(last); err != nil {
			return err
		}
		return p.save(last, c)
	}},
}

// numbered is the name of a mid-epoch checkpoint.
func numbered(c content) string { return fmt.Sprintf("checkpoint_epoch%d_step%d", c.epoch, c.step) }

// twoSaves saves twice in a pattern, one after the other; a view shows each once
// it is through.
func (b *bench) twoSaves(pattern pattern) {
	b.t.Helper()
	b.seed(map[string]content{pattern.spare(): {"spare", 1, 1}, pattern.last(): {"old", 1, 0}})
	p := b.process()
	for _, c := range []content{{"one", 2, 3}, {"two", 3, 3}} {
		b.must(pattern.save(p, c))
		if token, err := p.load(pattern.target(c)); err != nil || token != c.token {
			b.t.Errorf("the trainer finds %q, %v", token, err)
		}
		b.check("saved " + c.token)
		b.settle()
		b.shows("settled", map[string]string{"latest": c.token})
		b.check("settled " + c.token)
	}
	for _, dir := range []string{stagingDir, journalDir} {
		if left := b.left(dir); len(left) > 0 {
			b.t.Errorf("%s holds %v", dir, left)
		}
	}
	if p.exists(tmp) || p.exists(backup) {
		b.t.Error("a temporary or a backup is left")
	}
	before := b.tokens()
	b.restart()
	b.sameTokens("restarted", before)
}
