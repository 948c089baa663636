package fs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

// controlDir is .ckptfs at the root of the mount: never listed there, found by
// name. Its files are made when they are opened, like those of /proc.
type controlDir struct {
	readOnly
	fusefs.Inode
	shown
	m *mount
}

// reports are the readable control files. Each is made for one caller, and leaves
// out the runs that he does not see.
var reports = map[string]func(m *mount, sees func(dir string) bool) ([]byte, error){
	"status.json": func(m *mount, sees func(string) bool) ([]byte, error) { return asJSON(m.status(sees)) },
	"ls.json": func(m *mount, sees func(string) bool) ([]byte, error) {
		rep := m.store.List(true)
		rep.Hide(sees)
		return asJSON(rep)
	},
	"explain.json": func(m *mount, sees func(string) bool) ([]byte, error) {
		return asJSON(store.HideRuns(m.store.Explain(), sees))
	},
	"trash.json": func(m *mount, sees func(string) bool) ([]byte, error) {
		rep := m.store.Trash()
		rep.Hide(sees)
		return asJSON(rep)
	},
	"quarantine.json": func(m *mount, sees func(string) bool) ([]byte, error) {
		rep := m.store.HeldBack()
		rep.Hide(sees)
		return asJSON(rep)
	},
	"usage.json": func(m *mount, sees func(string) bool) ([]byte, error) {
		rep, err := m.store.Usage()
		if err != nil {
			return nil, err
		}
		rep.Hide(sees)
		return asJSON(rep)
	},
	"status": func(m *mount, sees func(string) bool) ([]byte, error) { return m.statusText(sees), nil },
	"events": func(m *mount, sees func(string) bool) ([]byte, error) {
		return eventLines(store.HideEvents(m.store.Events(), sees))
	},
	"metrics": func(m *mount, _ func(string) bool) ([]byte, error) { return m.metrics(), nil },
	"config":  func(m *mount, _ func(string) bool) ([]byte, error) { return m.opts.Config.YAML(), nil },
}

// everything is what who commands the daemon sees.
func everything(string) bool { return true }

func asJSON(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

func eventLines(events []store.Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func (m *mount) lookupControl(ctx context.Context, d *dir, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	m.fillVirtual(&out.Attr, unix.S_IFDIR|0o555)
	if known := d.GetChild(store.Private); known != nil {
		return known, 0
	}
	id := m.store.FreshIdent()
	return d.NewInode(ctx, &controlDir{m: m}, fusefs.StableAttr{Mode: unix.S_IFDIR, Ino: id.Ino, Gen: viewGen}), 0
}

func (d *controlDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if name == versionsName {
		return d.m.lookupVersions(ctx, d, out)
	}
	f := &controlFile{m: d.m, name: name}
	if _, ok := reports[name]; !ok && name != "control" && name != "verify" {
		return nil, syscall.ENOENT
	}
	f.fill(&out.Attr)
	if known := d.GetChild(name); known != nil {
		return known, 0
	}
	id := d.m.store.FreshIdent()
	return d.NewInode(ctx, f, fusefs.StableAttr{Mode: unix.S_IFREG, Ino: id.Ino, Gen: viewGen}), 0
}

func (d *controlDir) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.m.fillVirtual(&out.Attr, unix.S_IFDIR|0o555)
	return 0
}

func (d *controlDir) OpendirHandle(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return d.open(directory{d, d.settled, d.list, nil}, flags)
}

func (d *controlDir) list(bool) ([]entry, syscall.Errno) {
	out := []entry{
		{DirEntry: fuse.DirEntry{Name: "control", Mode: unix.S_IFREG}}, {DirEntry: fuse.DirEntry{Name: "verify", Mode: unix.S_IFREG}},
		{DirEntry: fuse.DirEntry{Name: versionsName, Mode: unix.S_IFDIR}},
	}
	for name := range reports {
		out = append(out, entry{DirEntry: fuse.DirEntry{Name: name, Mode: unix.S_IFREG}})
	}
	return out, 0
}

// controlFile is one of them. Its size reads as 0: it is known when it is read.
type controlFile struct {
	fusefs.Inode
	m    *mount
	name string
}

// fill describes the file: everybody reads about what he may see, the control
// file belongs to who may command the daemon.
func (f *controlFile) fill(out *fuse.Attr) {
	switch f.name {
	case "control":
		f.m.fillVirtual(out, unix.S_IFREG|0o200)
	case "verify":
		f.m.fillVirtual(out, unix.S_IFREG|0o600)
	default:
		f.m.fillVirtual(out, unix.S_IFREG|0o444)
		return
	}
	out.Uid = f.m.master()
}

func (f *controlFile) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.fill(&out.Attr)
	return 0
}

// Setattr accepts the truncation of a shell's `>`; nothing else may be changed.
func (f *controlFile) Setattr(ctx context.Context, fh fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if in.Valid&(fuse.FATTR_MODE|fuse.FATTR_UID|fuse.FATTR_GID) != 0 {
		return syscall.EPERM
	}
	return f.Getattr(ctx, fh, out)
}

func (f *controlFile) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	c := caller(ctx)
	if f.name == "control" {
		// The mode says so too; but a mount may be without the kernel's checks.
		if flags&unix.O_ACCMODE != unix.O_WRONLY || !f.m.commands(c.UID) {
			return nil, 0, syscall.EACCES
		}
		return &controlHandle{m: f.m}, fuse.FOPEN_DIRECT_IO, 0
	}
	if f.name == "verify" {
		if !f.m.commands(c.UID) {
			return nil, 0, syscall.EACCES
		}
		return newVerifyHandle(f.m), fuse.FOPEN_DIRECT_IO | fuse.FOPEN_STREAM, 0 // it can be written while it is read
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		return nil, 0, syscall.EACCES
	}
	sees := everything
	if !f.m.commands(c.UID) {
		sees = f.m.store.Sees(c)
	}
	b, err := reports[f.name](f.m, sees)
	if err != nil {
		return nil, 0, f.m.errno("make "+f.name, err)
	}
	return &reportHandle{b}, fuse.FOPEN_DIRECT_IO, 0
}

// reportHandle is the report as it was when the file was opened.
type reportHandle struct{ content []byte }

func (h *reportHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if off >= int64(len(h.content)) {
		return fuse.ReadResultData(nil), 0
	}
	end := min(off+int64(len(dest)), int64(len(h.content)))
	return fuse.ReadResultData(h.content[off:end]), 0
}

// controlHandle takes one command per write; the write fails when the command
// is refused, and the last event "control" says why.
type controlHandle struct{ m *mount }

func (h *controlHandle) Write(_ context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	if len(data) > maxCommand {
		return 0, h.refuse(string(data), fmt.Errorf("longer than %d bytes", maxCommand), syscall.EMSGSIZE)
	}
	c, err := parseCommand(string(data))
	if err != nil {
		return 0, h.refuse(string(data), err, syscall.EINVAL)
	}
	if err := h.m.carryOut(c); err != nil {
		return 0, h.refuse(string(data), err, syscall.EPERM)
	}
	return uint32(len(data)), 0
}

// refuse says why, where whoever sent the command looks for it.
func (h *controlHandle) refuse(line string, why error, errno syscall.Errno) syscall.Errno {
	const most = 200 // of a command, in bytes, are kept
	if line = strings.TrimSpace(line); len(line) > most {
		line = line[:most] + "…"
	}
	h.m.store.Note("control", line, why.Error())
	h.m.log.Warn("command refused", "command", line, "err", why)
	return errno
}
