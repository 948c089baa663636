// Package fs shows a store as a FUSE file system. It translates and decides
// nothing: every node asks the store by name on every request and carries no
// role of its own. It is the only importer of go-fuse.
//
// Three kinds of nodes: live directories and files, whose names may mean
// something new at any time; views, which are bound to one committed version
// and never change; and the control files below .ckptfs.
package fs

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync/atomic"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// MountOptions say what to mount and how.
type MountOptions struct {
	Dir        string // the backing directory, absolute
	Mountpoint string // absolute; may be Dir itself
	Config     policy.Config
	AllowOther bool
	ReadOnly   bool
	// NoPassthrough sends all data through the daemon, as for users who may not do
	// otherwise.
	NoPassthrough bool
	Debug         bool        // log every FUSE request
	Options       []string    // further options for the kernel, as after -o
	Clock         store.Clock // nil is the system's
	Log           *slog.Logger
}

// Server is a running mount.
type Server struct {
	fuse  *fuse.Server
	mount *mount
}

// mount is what all nodes of one mount share.
type mount struct {
	store       *store.Store
	opts        MountOptions
	log         *slog.Logger
	passthrough atomic.Bool // the kernel reads and writes backing files itself
	notifier    *notifier
	known       known
	root        *dir
	panics      atomic.Int64
	paths       *paths
	endings     ending
	server      *fuse.Server // set before the first request
}

// maxWrite is the largest request: what reaches the daemon without passthrough
// comes in pieces of this size.
const maxWrite = 1 << 20

// Mount takes the lock, takes its place at the mountpoint, recovers, and returns
// once the file system can be used. Whoever comes to the mountpoint from its
// first moment on waits: a trainer that has outlived the ckptfs before must not
// find the bare directory while recovery is at work in it.
//
// It takes over backing and sets the umask of the process to 0: the kernel has
// applied the callers' already. After an error the process has to end; that lets
// go who waits.
func Mount(backing *disk.Root, opts MountOptions) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m := &mount{opts: opts, log: opts.Log, notifier: newNotifier(), paths: newPaths()}
	m.root = &dir{m: m}
	open := store.Open
	if opts.ReadOnly {
		open = store.Look
	}
	// Before anything is made: the store's files too get the modes that are asked for.
	unix.Umask(0)
	outside := m.watcher(backing)
	var server *fuse.Server
	st, err := open(backing, store.Options{
		Outside: outside,
		Config:  opts.Config, Mountpoint: opts.Mountpoint, Clock: opts.Clock, Notify: m.notifier, Log: opts.Log,
		Claimed: func() (err error) {
			server, err = m.attach(backing)
			return err
		},
	})
	if err != nil {
		if server != nil {
			m.abandon()
		}
		if outside != nil {
			outside.Close()
		}
		backing.Close()
		return nil, err
	}
	m.store = st
	// Before the first request: go-fuse never asks again for a file that was opened
	// without passthrough.
	m.passthrough.Store(!opts.NoPassthrough && m.probePassthrough(server, backing))
	if !m.passthrough.Load() {
		m.readFurther()
	}
	// Not WaitMount: the kernel has said INIT, so the mount is there, and WaitMount
	// opens a file in it. A daemon that is killed while it waits for itself can
	// never die, and its mount answers nobody any more.
	go server.Serve()
	m.notifier.start(m.root.EmbeddedInode(), &m.known)
	return &Server{server, m}, nil
}

// watcher tells of changes beneath the mount, nil where nobody can.
func (m *mount) watcher(backing *disk.Root) disk.Watcher {
	if m.opts.ReadOnly {
		return nil
	}
	w, err := backing.NewWatcher()
	if err != nil {
		m.log.Warn("changes from outside are found at the next mount only", "err", err)
		return nil
	}
	return w
}

// abandon takes away a mount that is not served.
func (m *mount) abandon() {
	err := unix.Unmount(m.opts.Mountpoint, unix.MNT_DETACH)
	if errors.Is(err, unix.EPERM) {
		err = exec.Command("fusermount3", "-uz", "--", m.opts.Mountpoint).Run()
	}
	if err != nil {
		m.log.Warn("the mount is left behind", "mountpoint", m.opts.Mountpoint, "err", err)
	}
}

// attach mounts. What is asked of the mount waits until it is served.
func (m *mount) attach(backing *disk.Root) (*fuse.Server, error) {
	o := &fusefs.Options{NullPermissions: true, Logger: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn)}
	// EntryTimeout, AttrTimeout and NegativeTimeout stay nil: every reply sets its
	// own, and go-fuse would replace a 0 by the default.
	o.FsName = strings.ReplaceAll(m.opts.Dir, ",", "_")
	o.Name = "ckptfs"
	o.AllowOther = m.opts.AllowOther
	o.MaxWrite = maxWrite
	o.MaxBackground = 64
	o.MaxStackDepth = 2 // overlayfs, as in a container, can be the backing
	o.DirectMount = true
	o.ExtraCapabilities = fuse.CAP_ATOMIC_O_TRUNC | // the content is chosen at OPEN
		fuse.CAP_DONT_MASK | // a list of the directory may go before the umask
		fuse.CAP_SETXATTR_EXT | // and a new list takes the setgid bit from some
		fuse.CAP_HANDLE_KILLPRIV_V2 | // a write need not ask for capabilities; those who write take them (store/own.go)
		fuse.CAP_NO_OPENDIR_SUPPORT // listings without opening and closing
	o.EnableAcl = true // the kernel checks the lists of the backing directory, not the modes alone
	o.Options = append([]string{"default_permissions"}, m.opts.Options...)
	if m.opts.ReadOnly {
		o.Options = append(o.Options, "ro")
	}
	o.Debug = m.opts.Debug
	o.MountOptions.Logger = log.New(slog.NewLogLogger(m.log.Handler(), slog.LevelDebug).Writer(), "", 0)
	o.PanicHandler = m.panicked
	if st, err := disk.Fstat(backing.Fd()); err == nil && st.Ino > 1 {
		o.RootStableAttr = &fusefs.StableAttr{Ino: st.Ino}
	}
	server, err := fuse.NewServer(rawFS{fusefs.NewNodeFS(m.root, o), m}, m.opts.Mountpoint, &o.MountOptions)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", m.opts.Mountpoint, err)
	}
	makeWayForReaders()
	return server, nil
}

// probePassthrough registers one backing file, as every open will. go-fuse turns
// passthrough off for the whole mount, without a word, when the first one fails.
func (m *mount) probePassthrough(server *fuse.Server, backing *disk.Root) bool {
	if server.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 {
		m.log.Info("no passthrough: the kernel does not grant it; data goes through the daemon")
		return false
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", backing.Fd()), unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		f, err := backing.Open("probe", store.Private+"/lock", unix.O_RDONLY, 0)
		if err != nil {
			return false
		}
		defer f.Close()
		fd, _ = unix.Dup(int(f.Fd()))
	}
	defer unix.Close(fd)
	id, errno := server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(fd)})
	if errno != 0 {
		m.log.Info("no passthrough: data goes through the daemon", "err", errno)
		return false
	}
	server.UnregisterBackingFd(id)
	return true
}

// panicked keeps one bad request from taking the mount down.
func (m *mount) panicked(v any) fuse.Status {
	m.panics.Add(1)
	m.log.Error("panic in a request; it was answered with EIO", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	return fuse.EIO
}

// Wait returns when the file system was unmounted.
func (s *Server) Wait() { s.fuse.Wait() }

// Unmount takes the mount down; it fails while somebody uses it.
func (s *Server) Unmount() error { return s.fuse.Unmount() }

// Settle commits what is complete; see store.Settle.
func (s *Server) Settle(ctx context.Context, progress func(left int)) map[string][]string {
	return s.mount.store.Settle(ctx, progress)
}

// Passthrough reports whether data goes past the daemon.
func (s *Server) Passthrough() bool { return s.mount.passthrough.Load() }

// Close ends the store after the unmount: open saves are parked for the next
// mount, and the lock is given back.
func (s *Server) Close() error {
	s.mount.notifier.close()
	return s.mount.store.Close()
}
