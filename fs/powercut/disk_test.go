package powercut

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A glass disk writes down what the block layer asks of it, in one order: every
// write with its data, and every flush. It is a file system with one file, which
// is attached as a loop device; the loop driver turns a flush into an fsync.
type glassDisk struct {
	fusefs.Inode

	mu    sync.Mutex // one request at a time: the journal has an order
	image *os.File
	log   *os.File
}

var _ = interface {
	fusefs.NodeOpener
	fusefs.NodeGetattrer
	fusefs.NodeReader
	fusefs.NodeWriter
	fusefs.NodeFsyncer
}((*glassDisk)(nil))

// Each event is a header, and for a write the data.
const (
	eventWrite = 1
	eventFlush = 2
)

// header is how an event begins in the log.
type header struct {
	Kind   uint32
	Length uint32
	Offset int64
}

const headerSize = 16

func (d *glassDisk) record(h header, data []byte) error {
	b, err := binary.Append(make([]byte, 0, headerSize+len(data)), binary.LittleEndian, h)
	if err != nil {
		return err
	}
	_, err = d.log.Write(append(b, data...))
	return err
}

func (d *glassDisk) Write(_ context.Context, _ fusefs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.image.WriteAt(data, off)
	if err == nil {
		err = d.record(header{eventWrite, uint32(len(data)), off}, data)
	}
	if err != nil {
		return 0, fusefs.ToErrno(err)
	}
	return uint32(len(data)), 0
}

// Fsync is a flush: what was written before it survives.
func (d *glassDisk) Fsync(context.Context, fusefs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fusefs.ToErrno(d.record(header{Kind: eventFlush}, nil))
}

func (d *glassDisk) Read(_ context.Context, _ fusefs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := d.image.ReadAt(dest, off)
	if n == 0 && err != nil {
		return nil, fusefs.ToErrno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Open bypasses the page cache: a write has arrived when it is answered.
func (d *glassDisk) Open(context.Context, uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (d *glassDisk) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = unix.S_IFREG|0o600, diskSize
	return 0
}

// serveDisk is the body of the process that serves a glass disk.
func serveDisk(at, image, log string) int {
	fail := func(err error) int {
		fmt.Println("failed:", err)
		return 1
	}
	d := new(glassDisk)
	var err error
	if d.image, err = os.OpenFile(image, os.O_RDWR, 0); err != nil {
		return fail(err)
	}
	if d.log, err = os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600); err != nil {
		return fail(err)
	}
	root := new(fusefs.Inode)
	server, err := fusefs.Mount(at, root, &fusefs.Options{
		MountOptions: fuse.MountOptions{FsName: "disk", MaxWrite: 1 << 20, DirectMount: true},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, d, fusefs.StableAttr{Mode: unix.S_IFREG}), true)
		},
	})
	if err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	server.Wait()
	return 0
}

// glass is a glass disk in use.
type glass struct {
	m   *machine
	at  string
	log string
	cmd *exec.Cmd
}

// serve starts the process of a glass disk over an image.
func (m *machine) serve(image string) *glass {
	m.t.Helper()
	g := &glass{m: m, at: scratch(m.t, "glass"), log: image + ".log"}
	g.cmd = child("disk", g.at, image, g.log)
	out, err := g.cmd.StdoutPipe()
	m.must(err)
	m.must(g.cmd.Start())
	m.t.Cleanup(g.takeAway)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		m.t.Fatalf("the disk does not start: %s %v", line, err)
	}
	return g
}

func (g *glass) file() string { return filepath.Join(g.at, "disk") }

// position is how much the disk has written down: a state of it.
func (g *glass) position() int64 {
	info, err := os.Stat(g.log)
	if err != nil {
		panic(err)
	}
	return info.Size()
}

// close takes a disk away that nothing uses any more.
func (g *glass) close() {
	g.m.t.Helper()
	g.m.must(unmount(g.at))
	g.m.must(g.cmd.Wait())
	g.cmd = nil
}

// takeAway does so after a failed test.
func (g *glass) takeAway() {
	if g.cmd == nil {
		return
	}
	unix.Unmount(g.at, unix.MNT_DETACH)
	g.cmd.Process.Kill()
	g.cmd.Wait()
}
