package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// source answers what is asked about a target: the daemon that has it mounted,
// or the directory itself.
type source interface {
	// List reports everything, also what lies in history, trash and quarantine.
	List() (store.ListReport, error)
	Status() (store.StatusReport, error)
	Explain() ([]store.ExplainReport, error)
	// Config is the configuration in force.
	Config() (policy.Config, error)
	// Delete moves a checkpoint into the trash if it still is the version that
	// was decided about; path is relative to the root.
	Delete(path, version, why string) error
	// Commit says that a save is complete; with force it need not be.
	Commit(path string, force bool) error
	// Restore makes an earlier or deleted version of a checkpoint the committed one.
	Restore(path, version string, force bool) error
	Pin(path, why string) error
	Unpin(path string) error
	Trash() (store.TrashReport, error)
	// Shred removes an entry of the trash; with all, one that is protected too.
	Shred(version string, all bool) error
	HeldBack() (store.QuarantineReport, error)
	PutBack(id, path string, force bool) error
	DropHeld(id string) error
	Usage() (store.UsageReport, error)
	// OpenVersion opens a version to read it, whatever becomes of its name.
	OpenVersion(id string) (*openVersion, error)
	// Verify looks whether checkpoints are whole, and marks those that are not.
	Verify(ctx context.Context, o store.VerifyOptions) (store.VerifyReport, error)
	Close() error
}

// look opens a target to ask about it; nothing on disk is changed.
func look(t target, config string) (source, error) {
	if t.isMounted() {
		return daemon(t.root), nil
	}
	return openDirectory(t.root, config, store.Look)
}

// work opens a target to change it. An unmounted directory is locked and
// recovered, as a mount would do.
func work(t target, config string) (source, error) {
	if t.isMounted() {
		return daemon(t.root), nil
	}
	d, err := openDirectory(t.root, config, store.Open)
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w; try again when it is done", err)
	}
	return d, err
}

// lookAt finds what a path means and opens it to ask about it.
func lookAt(path, config string) (source, target, error) { return openTarget(path, config, look) }

// workAt finds what a path means and opens it to change it.
func workAt(path, config string) (source, target, error) { return openTarget(path, config, work) }

func openTarget(path, config string, open func(target, string) (source, error)) (source, target, error) {
	t, err := findTarget(path)
	if err != nil {
		return nil, t, err
	}
	src, err := open(t, config)
	return src, t, err
}

// offline answers from a directory that is not mounted.
type offline struct {
	*store.Store
	dir string
}

func openDirectory(dir, config string, open func(disk.Disk, store.Options) (*store.Store, error)) (source, error) {
	cfg, err := loadConfig(dir, config)
	if err != nil {
		return nil, err
	}
	root, err := disk.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(root, store.Options{Config: cfg, Known: dir})
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return offline{s, dir}, nil
}

func (o offline) List() (store.ListReport, error)         { return o.Store.List(true), nil }
func (o offline) Explain() ([]store.ExplainReport, error) { return o.Store.Explain(), nil }
func (o offline) Config() (policy.Config, error)          { return o.Store.Config(), nil }
func (o offline) Trash() (store.TrashReport, error)       { return o.Store.Trash(), nil }

// HeldBack implements source.
func (o offline) HeldBack() (store.QuarantineReport, error) { return o.Store.HeldBack(), nil }

func (o offline) Status() (store.StatusReport, error) {
	rep := o.Store.Status()
	rep.Backing, rep.PID = o.dir, 0 // no daemon: the process is this command
	return rep, nil
}

// Commit implements source.
func (o offline) Commit(path string, force bool) error {
	return refusal(o.Store.Commit(path, force))
}

// Restore implements source.
func (o offline) Restore(path, version string, force bool) error {
	return refusal(o.Store.Restore(path, version, force))
}

// Pin implements source.
func (o offline) Pin(path, why string) error { return refusal(o.Store.Pin(path, why)) }

// Unpin implements source.
func (o offline) Unpin(path string) error { return refusal(o.Store.Unpin(path)) }

// Shred implements source.
func (o offline) Shred(version string, all bool) error { return refusal(o.Store.Shred(version, all)) }

// PutBack implements source.
func (o offline) PutBack(id, path string, force bool) error {
	return refusal(o.Store.PutBack(id, path, force))
}

// DropHeld implements source.
func (o offline) DropHeld(id string) error { return refusal(o.Store.DropHeld(id)) }

// refusal is why something that was asked for is not done: by a rule, here as when
// a daemon says so.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	return refusedError("%w", err)
}

// daemon asks the mount at this path through its control files.
type daemon string

func (d daemon) List() (rep store.ListReport, err error) {
	err = d.decode("ls.json", &rep)
	return rep, err
}

func (d daemon) Status() (rep store.StatusReport, err error) {
	err = d.decode("status.json", &rep)
	return rep, err
}

func (d daemon) Explain() (rep []store.ExplainReport, err error) {
	err = d.decode("explain.json", &rep)
	return rep, err
}

func (d daemon) Trash() (rep store.TrashReport, err error) {
	err = d.decode("trash.json", &rep)
	return rep, err
}

func (d daemon) HeldBack() (rep store.QuarantineReport, err error) {
	err = d.decode("quarantine.json", &rep)
	return rep, err
}

func (d daemon) Usage() (rep store.UsageReport, err error) {
	err = d.decode("usage.json", &rep)
	return rep, err
}

func (d daemon) Config() (policy.Config, error) {
	b, err := d.read("config")
	if err != nil {
		return policy.Config{}, err
	}
	return policy.Parse(d.file("config"), b)
}

func (d daemon) Close() error { return nil }

func (d daemon) file(name string) string {
	return filepath.Join(string(d), store.Private, name)
}

func (d daemon) read(name string) ([]byte, error) {
	b, err := os.ReadFile(d.file(name))
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("ask the ckptfs at %s: %w; only the user who mounted it may, unless mounted with --allow-other", string(d), err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the ckptfs at %s: %w", string(d), err)
	}
	return b, nil
}

func (d daemon) decode(name string, into any) error {
	b, err := d.read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", d.file(name), err)
	}
	return nil
}
