package disk

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// inotify is the real Watcher. The kernel attaches a watch to an inode, so a
// directory that is renamed goes on being watched, under the path that it had.
type inotify struct {
	root   *Root
	file   *os.File
	events chan Event
	done   chan struct{}

	mu     sync.Mutex
	closed bool
	paths  map[int32]string
	wds    map[string]int32
}

const (
	namesOf   = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR
	contentOf = namesOf | unix.IN_MODIFY | unix.IN_ATTRIB
	fileOf    = unix.IN_MODIFY | unix.IN_ATTRIB
)

// NewWatcher returns a Watcher of directories below the root.
func (r *Root) NewWatcher() (Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, wrap("", "inotify_init", "", err)
	}
	w := &inotify{
		root: r, file: os.NewFile(uintptr(fd), "inotify"), events: make(chan Event), done: make(chan struct{}),
		paths: map[int32]string{}, wds: map[string]int32{},
	}
	go w.read()
	return w, nil
}

// Watch implements Watcher.
func (w *inotify) Watch(p string, content bool) error {
	at, err := w.root.openat(p, unix.O_PATH, 0)
	if err != nil {
		return wrap("", "watch", p, err)
	}
	defer unix.Close(at)
	st, err := Fstat(at)
	if err != nil {
		return wrap("", "watch", p, err)
	}
	mask := uint32(namesOf)
	switch {
	case content && st.IsRegular():
		mask = fileOf
	case content:
		mask = contentOf
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return wrap("", "watch", p, os.ErrClosed)
	}
	added, err := unix.InotifyAddWatch(int(w.file.Fd()), procPath(at), mask)
	if err != nil {
		return wrap("", "watch", p, err)
	}
	wd := int32(added)
	if old, ok := w.wds[p]; ok && old != wd {
		w.remove(old) // another directory has the path now
	}
	if old, ok := w.paths[wd]; ok && old != p {
		delete(w.wds, old) // the directory has another path now
	}
	w.paths[wd], w.wds[p] = p, wd
	return nil
}

// Unwatch implements Watcher.
func (w *inotify) Unwatch(p string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.wds[p]; !known {
		return // nor is anything below it: thousands are watched for the first time at a mount
	}
	for at, wd := range w.wds {
		if at == p || strings.HasPrefix(at, p+"/") {
			w.remove(wd)
		}
	}
}

// remove ends one watch. Needs mu.
func (w *inotify) remove(wd int32) {
	if !w.closed {
		_, _ = unix.InotifyRmWatch(int(w.file.Fd()), uint32(wd)) // it is gone already when the directory is
	}
	if p := w.paths[wd]; w.wds[p] == wd {
		delete(w.wds, p)
	}
	delete(w.paths, wd)
}

// Events implements Watcher.
func (w *inotify) Events() <-chan Event { return w.events }

// Close implements Watcher.
func (w *inotify) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.mu.Unlock()
	close(w.done)
	err := w.file.Close()
	for range w.events { // until the reader has gone
	}
	return err
}

func (w *inotify) read() {
	defer close(w.events)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return // closed
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(b))
			mask := binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
			b = b[end:]
			if e, ok := w.event(wd, mask, string(name)); ok && !w.send(e) {
				return
			}
		}
	}
}

func (w *inotify) event(wd int32, mask uint32, name string) (Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, known := w.paths[wd]
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		return Event{Lost: true}, true
	case !known:
		return Event{}, false
	case mask&unix.IN_IGNORED != 0: // the directory is gone
		delete(w.paths, wd)
		if w.wds[p] == wd {
			delete(w.wds, p)
		}
		return Event{}, false
	}
	return Event{Dir: p, Name: name, Wrote: mask&unix.IN_MODIFY != 0}, true
}

func (w *inotify) send(e Event) bool {
	select {
	case w.events <- e:
		return true
	case <-w.done:
		return false
	}
}
