package store

import (
	"os"
	"strconv"
	"sync"
	"time"

	"ckptfs/fs/store/disk"
)

// A commit waits until the disk has what was written. So that it need not wait
// long, the disk gets it while it is being written. With passthrough nobody hears
// of a write: the files of saves that are open for writing are looked at, and what
// has come since the last look is handed on, in pieces that are worth a request.
//
// Nothing rests on it, for the sync of the commit comes all the same. But that has
// to hear of what went wrong before: an error that nobody was told of is kept with
// the inode, and the kernel forgets that with the last descriptor. So each such
// file is kept open, by a descriptor of our own, until its save is no more.
const (
	writeBackOften  = 50 * time.Millisecond
	writeBackSeldom = time.Second // when nothing comes
	writeBackPiece  = 8 << 20     // a file that never has as much is left to the kernel
	writeBackLast   = 1 << 20     // what is worth it when the file is closed
	writeBackMost   = 512         // files that are kept open
)

// writeBack is who hands on.
type writeBack struct {
	mu      sync.Mutex
	files   map[*growing]struct{}
	running bool
	kept    map[inodeKey]keptOpen // our descriptors of what was closed
	sign    time.Time             // when a file was last seen to be opened, to grow or to be closed
}

// keptOpen is our descriptor of a file of a save, from when it is closed until the save
// is no more, or the file.
type keptOpen struct {
	file *os.File
	sv   *save
}

// growing is a file of a save that is open for writing.
type growing struct {
	mu     sync.Mutex // held across fstat and open, never while the disk writes
	file   *os.File   // of the mount; nil once that lets go of it
	own    *os.File   // ours, from the first piece on
	is     inodeKey
	blocks uint64 // that were handed on
	seen   uint64 // blocks, at the last look
}

// writeBackOf has a file looked at from now on.
func (s *Store) writeBackOf(f *os.File) *growing {
	g := &growing{file: f}
	w := &s.writeBack
	w.mu.Lock()
	if w.files == nil {
		w.files = map[*growing]struct{}{}
	}
	w.files[g] = struct{}{}
	w.sign = s.clock.Now()
	start := !w.running
	w.running = true
	w.mu.Unlock()
	if start {
		s.spawn(s.keepWritingBack)
	}
	return g
}

// keepWritingBack is the goroutine that hands on, for as long as there are files.
func (s *Store) keepWritingBack() {
	for pause := writeBackOften; s.sleep(pause); {
		list := s.writeBack.list()
		if list == nil {
			return
		}
		pause = min(2*pause, writeBackSeldom)
		for _, g := range list {
			own, grows := s.grown(g, writeBackPiece)
			if grows {
				pause = writeBackOften
			}
			if own != nil {
				s.disk.WriteBack(own)
			}
		}
	}
}

// list is what there is to look at; when there is nothing, the caller has to end.
func (w *writeBack) list() (list []*growing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for g := range w.files {
		list = append(list, g)
	}
	w.running = list != nil
	return list
}

// writing is how long after the last sign of it a save counts as being written: one
// file comes after the other.
const writing = 500 * time.Millisecond

func (w *writeBack) sighted(now time.Time) {
	w.mu.Lock()
	w.sign = now
	w.mu.Unlock()
}

// busy reports whether a save is being written. That a file is open for writing is
// not enough: a log may be as long as the training runs.
func (w *writeBack) busy(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return now.Sub(w.sign) < writing
}

// grown reports whether a file has grown since the last look, and when that is
// enough to be handed on it returns our descriptor of it.
func (s *Store) grown(g *growing, enough uint64) (own *os.File, grows bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.file == nil {
		return nil, false
	}
	st, err := s.disk.Fstat(g.file)
	if err != nil {
		return nil, false
	}
	if grows = st.Blocks != g.seen; grows {
		g.seen = st.Blocks
		s.writeBack.sighted(s.clock.Now())
	}
	if st.Blocks < g.blocks+enough/512 {
		return nil, grows
	}
	if g.own == nil {
		if g.own, err = reopen(g.file); err != nil {
			g.file = nil // whoever may not read it leaves it to the kernel
			return nil, grows
		}
	}
	g.blocks, g.is = st.Blocks, inodeKey{st.Dev, st.Ino}
	return g.own, grows
}

// handLast ends the looking at a file that is being closed, and hands on the rest in
// the background.
func (s *Store) handLast(g *growing) {
	s.writeBack.mu.Lock()
	delete(s.writeBack.files, g)
	s.writeBack.sign = s.clock.Now()
	s.writeBack.mu.Unlock()
	if last, _ := s.grown(g, writeBackLast); last != nil {
		s.spawn(func() { s.disk.WriteBack(last) })
	}
	g.mu.Lock()
	g.file = nil
	g.mu.Unlock()
}

// keep keeps our descriptor of a file that was closed until its save is no more;
// without a save it is closed. Needs rec.mu.
func (w *writeBack) keep(g *growing, sv *save) {
	g.mu.Lock()
	own := g.own
	g.mu.Unlock()
	if own == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, twice := w.kept[g.is]; twice || len(w.kept) == writeBackMost || sv == nil || sv.over() {
		own.Close()
		return
	}
	if w.kept == nil {
		w.kept = map[inodeKey]keptOpen{}
	}
	w.kept[g.is] = keptOpen{own, sv}
}

// letGo closes our descriptors of the files of a save that is no more.
func (w *writeBack) letGo(sv *save) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for is, k := range w.kept {
		if k.sv == sv {
			k.file.Close()
			delete(w.kept, is)
		}
	}
}

// unlinked closes our descriptor of a file that has lost its last name: its space is
// free then.
func (w *writeBack) unlinked(st *disk.Stat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := inodeKey{st.Dev, st.Ino}
	if k, ok := w.kept[is]; ok {
		k.file.Close()
		delete(w.kept, is)
	}
}

// reopen opens an open file once more, to read it.
func reopen(f *os.File) (*os.File, error) {
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
}
