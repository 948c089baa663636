package store

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/proc"
)

// processes is the process table of a test.
type processes struct {
	mu   sync.Mutex
	ends map[uint32]proc.End // by process; its threads have its number
}

func (t *processes) end(tgid uint32) proc.End {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ends[tgid]
}

func (t *processes) set(tgid uint32, fate proc.Fate, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends[tgid] = proc.End{Fate: fate, Tgid: tgid, Status: status}
}

// Process implements proc.Table. Threads of a process are its number plus a
// multiple of 1000.
func (t *processes) Process(tid uint32) uint32 {
	if tgid := tid % 1000; t.end(tgid).Tgid != 0 {
		return tgid
	}
	return 0
}

func (t *processes) Closing(tid uint32) proc.End { return t.end(t.Process(tid)) }

func (t *processes) Watch(tgid uint32) proc.Watch { return watchOf{t, tgid} }

type watchOf struct {
	table *processes
	tgid  uint32
}

// End implements proc.Watch. A process that did not answer while it closed a
// file is alive: it was in execve.
func (w watchOf) End() proc.End {
	end := w.table.end(w.tgid)
	if end.Fate == proc.Silent {
		end.Fate = proc.Alive
	}
	return end
}

func (watchOf) Close() {}

// process uses the mount: each of its methods does what the kernel does for the
// system call of that name.
type process struct {
	b    *bench
	tgid uint32
	open map[*handle]bool
	dir  string // where its names begin; "" is the root of the mount
}

func (p *process) at(name string) string { return path.Join(p.dir, name) }

// handle is an open file description; a fork shares it.
type handle struct {
	*File
	held map[*process]bool
}

func (p *process) caller() Caller {
	return Caller{TID: p.tgid, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}

// openFile is open(2). ESTALE from the file system makes the kernel walk the path
// once more, with fresh look-ups.
func (p *process) openFile(name string, flags int) (*handle, error) {
	for again := false; ; again = true {
		f, err := p.walk(name, flags)
		if err == nil {
			h := &handle{f, map[*process]bool{p: true}}
			p.open[h] = true
			return h, nil
		}
		if again || !errors.Is(err, unix.ESTALE) {
			return nil, err
		}
	}
}

func (p *process) walk(name string, flags int) (*File, error) {
	a, err := p.b.Lookup(p.at(name), p.tgid)
	switch {
	case errors.Is(err, unix.ENOENT) && flags&unix.O_CREAT != 0:
		f, _, err := p.b.Create(p.at(name), flags, 0o644, p.caller())
		return f, err
	case err != nil:
		return nil, err
	case flags&unix.O_EXCL != 0:
		return nil, unix.EEXIST
	}
	return p.b.OpenFile(p.at(name), a.Ident, flags&^(unix.O_CREAT|unix.O_EXCL), p.caller())
}

// create is open(name, "wb").
func (p *process) create(name string) (*handle, error) {
	return p.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
}

// close is close(2), also when the kernel does it for a dead process.
func (p *process) close(h *handle) error {
	err := h.Flush(p.tgid)
	delete(h.held, p)
	delete(p.open, h)
	if len(h.held) == 0 {
		h.Release()
	}
	return err
}

// fork makes a child that shares what is open.
func (p *process) fork() *process {
	child := p.b.process()
	for h := range p.open {
		child.open[h], h.held[child] = true, true
	}
	return child
}

// die ends the process by a signal, and closes what it had open.
func (p *process) die() { p.finish(proc.Died, int(unix.SIGKILL)) }

// exit ends it with a status.
func (p *process) exit(status int) {
	fate := proc.ExitedZero
	if status != 0 {
		fate = proc.Died
	}
	p.finish(fate, status<<8)
}

func (p *process) finish(fate proc.Fate, status int) {
	p.b.procs.set(p.tgid, fate, status)
	for h := range p.open {
		p.close(h) // nobody is there to hear of an error
	}
}

func (p *process) write(name string, data []byte) error {
	h, err := p.create(name)
	if err != nil {
		return err
	}
	if _, err := h.Write(data); err != nil {
		return errors.Join(err, p.close(h))
	}
	return p.close(h)
}

func (p *process) read(name string) ([]byte, error) {
	h, err := p.openFile(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(h)
	return data, errors.Join(err, p.close(h))
}

func (p *process) list(dir string) ([]string, error) {
	entries, err := p.b.ReadDir(p.at(dir))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names, err
}

func (p *process) exists(name string) bool {
	_, err := p.b.Lookup(p.at(name), p.tgid)
	return err == nil
}

func (p *process) mkdir(name string) error {
	if p.exists(name) {
		return unix.EEXIST
	}
	_, err := p.b.Mkdir(p.at(name), 0o755, p.caller())
	return err
}

func (p *process) unlink(name string) error { return p.b.Unlink(p.at(name), p.caller()) }

func (p *process) rmdir(name string) error { return p.b.Rmdir(p.at(name), p.caller()) }

func (p *process) rename(from, to string) error {
	return p.b.Rename(p.at(from), p.at(to), 0, p.caller())
}

// removeAll is rm -r; what is not there is no error.
func (p *process) removeAll(name string) error {
	a, err := p.b.Lookup(p.at(name), p.tgid)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !a.IsDir() {
		return p.unlink(name)
	}
	names, err := p.list(name)
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := p.removeAll(path.Join(name, child)); err != nil {
			return err
		}
	}
	return p.rmdir(name)
}

// save writes the files of a checkpoint in the trainer's order; dir is made when
// it is not there.
func (p *process) save(dir string, c content) error {
	if names := spreadFiles(dir); names != nil {
		for _, name := range names {
			if err := p.write(name, c.file()); err != nil {
				return err
			}
		}
		return nil
	}
	if err := p.mkdir(dir); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	files := c.files()
	for _, name := range checkpointFiles {
		if err := p.write(path.Join(dir, name), files[name]); err != nil {
			return err
		}
	}
	return nil
}

// load reads a checkpoint by its live name.
func (p *process) load(dir string) (string, error) {
	if names := spreadFiles(dir); names != nil {
		return loadFiles(names, p.read)
	}
	return loadWhole(func(name string) ([]byte, error) { return p.read(path.Join(dir, name)) })
}

// has reports whether a listing shows a name.
func (p *process) has(dir, name string) bool {
	names, err := p.list(dir)
	return err == nil && slices.Contains(names, name)
}
