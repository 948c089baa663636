package fs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
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
	m *mount
}

// reports are the readable control files.
var reports = map[string]func(m *mount) ([]byte, error){
	"status.json":  func(m *mount) ([]byte, error) { return asJSON(m.status()) },
	"ls.json":      func(m *mount) ([]byte, error) { return asJSON(m.store.List(true)) },
	"explain.json": func(m *mount) ([]byte, error) { return asJSON(m.store.Explain()) },
	"status":       func(m *mount) ([]byte, error) { return m.statusText(), nil },
	"events":       func(m *mount) ([]byte, error) { return eventLines(m.store.Events()) },
	"metrics":      func(m *mount) ([]byte, error) { return m.metrics(), nil },
	"config":       func(m *mount) ([]byte, error) { return m.opts.Config.YAML(), nil },
}

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
	f := &controlFile{m: d.m, name: name}
	if _, ok := reports[name]; !ok && name != "control" {
		return nil, syscall.ENOENT
	}
	d.m.fillVirtual(&out.Attr, f.mode())
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

func (d *controlDir) OpendirHandle(context.Context, uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return &listing{load: func() ([]fuse.DirEntry, syscall.Errno) {
		out := []fuse.DirEntry{{Name: "control", Mode: unix.S_IFREG}}
		for name := range reports {
			out = append(out, fuse.DirEntry{Name: name, Mode: unix.S_IFREG})
		}
		sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
		return out, 0
	}}, 0, 0
}

// controlFile is one of them. Its size reads as 0: it is known when it is read.
type controlFile struct {
	fusefs.Inode
	m    *mount
	name string
}

func (f *controlFile) mode() uint32 {
	if f.name == "control" {
		return unix.S_IFREG | 0o200
	}
	return unix.S_IFREG | 0o444
}

func (f *controlFile) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.m.fillVirtual(&out.Attr, f.mode())
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
	if f.name == "control" {
		if flags&unix.O_ACCMODE != unix.O_WRONLY {
			return nil, 0, syscall.EACCES
		}
		return &controlHandle{m: f.m}, fuse.FOPEN_DIRECT_IO, 0
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		return nil, 0, syscall.EACCES
	}
	b, err := reports[f.name](f.m)
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

func (h *controlHandle) Write(ctx context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	line := strings.TrimSpace(string(data))
	if err := h.m.command(line); err != nil {
		h.m.store.Note("control", line, err.Error())
		h.m.log.Warn("command refused", "command", line, "err", err)
		return 0, syscall.EPERM
	}
	return uint32(len(data)), 0
}

// command carries out one line. It may wait for commits.
func (m *mount) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "settle":
		m.store.Settle(context.Background(), nil)
		return nil
	case "housekeep":
		m.store.Housekeep()
		return nil
	case "commit":
		rest, force := strings.CutPrefix(rest, "--force ")
		name, _, err := word(rest)
		if err != nil {
			return err
		}
		return m.store.Commit(name, force)
	case "delete":
		name, rest, err := word(rest)
		version, why, ok := strings.Cut(rest, " ")
		if err != nil || !ok {
			return fmt.Errorf("delete wants a path, a version and a reason")
		}
		return m.store.Delete(name, version, why)
	}
	return fmt.Errorf("command %q is not known", verb)
}

// word takes the first word of a line; one that holds spaces is quoted as in Go.
func word(line string) (first, rest string, err error) {
	if !strings.HasPrefix(line, `"`) {
		first, rest, _ = strings.Cut(line, " ")
		return first, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", line, err)
	}
	first, err = strconv.Unquote(quoted)
	return first, strings.TrimPrefix(line[len(quoted):], " "), err
}
