// Package store keeps checkpoints on disk: it gathers the changes of a save in
// a staged clone, commits the whole checkpoint at once, keeps what was
// replaced, and answers by name what the mount shows. It knows no FUSE types;
// everything here works and is tested without a mount.
//
// A name has up to three faces. The live tree shows the newest staged content,
// else what is committed. The views show the committed version only. The
// backing directory holds, under natural names, committed versions and nothing
// else; all the rest is below .ckptfs.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/proc"
	"ckptfs/layout"
	"ckptfs/policy"
)

// Private is the directory that holds all private state, at the root of the
// backing directory. It is never shown.
const Private = ".ckptfs"

const (
	stagingDir    = Private + "/staging"
	manifestDir   = Private + "/manifests"
	historyDir    = Private + "/history"
	trashDir      = Private + "/trash"
	quarantineDir = Private + "/quarantine"
	journalDir    = Private + "/journal"
	pinsFile      = Private + "/pins.json"
	lockFile      = Private + "/lock"
	logFile       = Private + "/log"
)

// Clock is the time as the store sees it, so that tests need no sleeping.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own after d; stop prevents it.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// Notifier is told when something that a kernel may have cached has changed.
// Its methods only queue: they are called with locks held and never wait.
type Notifier interface {
	// Entry says that name in dir may now mean something else, or nothing.
	Entry(dir, name string)
	// Attributes says that owners, modes or lists have changed at name in dir, or
	// below it.
	Attributes(dir, name string)
	// Dir says that the listing or the attributes of a live directory changed.
	Dir(path string)
	// Names says that names in one live directory have come or gone.
	Names(dir string)
	// Version says that a version should be no longer in use: what is merely
	// remembered of it is to be forgotten.
	Version(v *Version)
	// File says that the bytes or the attributes of a live file changed.
	File(path string)
}

// Options configure a store; the zero value of each field has a default.
type Options struct {
	Config     policy.Config
	Mountpoint string // where it is about to be mounted, "" for offline use
	Known      string // the path by which its users know it, for the commands that hints name
	Clock      Clock
	Processes  proc.Table
	Notify     Notifier
	Outside    disk.Watcher // tells of changes that are not ours; the store closes it
	Log        *slog.Logger
	// Claimed is called once the directory is ours, before anything in it is
	// recovered or looked at. When it fails, nothing is.
	Claimed func() error
}

// Store is the state of one backing directory.
//
// Lock order, outermost first:
//
//	room.making     who removes things to make room; nobody holds another lock
//	                when taking it
//	record.mu       one checkpoint name (two of them in the order of their paths);
//	                held across metadata calls, and the syncs that make a deletion
//	                or a rename of the name durable; never across data, unless the
//	                file system refuses links and renames (move.go)
//	Version.papers  the manifest of one version; held while it is written
//	Version.mu      where one version lies; write-held only while it moves
//	pinning         who changes what is pinned; held across the write of one file
//	Store.mu        the catalog: which runs, names and versions there are; never
//	                held across a call to the disk
//	writeBack.mu    which files are open for writing; held across nothing
//	hashing.mu      which versions are to be hashed; held across nothing
//
// Fields of a record that are marked so are written with both record.mu and
// Store.mu held, so that either is enough to read them.
type Store struct {
	disk     disk.Disk
	attended *attended // the same, where it says what hangs
	opts     Options
	cfg      policy.Config
	clock    Clock
	procs    proc.Table
	log      *slog.Logger
	layouts  []*layout.Layout // those that may apply; one when the configuration names it
	boot     string
	nonce    string // ends the ids that this store hands out
	readOnly bool
	lock     *lockHandle
	exchange bool // RENAME_EXCHANGE works on this file system
	lazy     bool // a mount waits for this: what can be found out later is

	mu         sync.RWMutex
	runs       map[string]*run   // by path; the root run is ""
	links      map[string]string // symbolic links of checkpoints' names, by path: where they lead
	pinning    sync.Mutex
	pins       map[string]string // by path, with the user's word why; replaced, with pinning held too
	trash      []*trashed
	quarantine []*Held
	waiting    []waiting
	closed     bool

	identities    identities
	describedOnes describedOnes
	watching      watching
	lingerers     lingerers
	room          room
	remains       remains
	sealed        []*save           // found by recovery, to be judged once the mount is usable
	moved         map[string]string // runs, where manifests have them and where they are; recovery's
	unseen        atomic.Bool       // recovery could not look at everything: what it did not find may be there
	arrivals      arrivals
	remembered    memory
	scrubbing     scrubbing
	shredding     shredding
	writeBack     writeBack
	hashing       hashing
	committing    atomic.Int32 // commits that are under way
	unchecked     atomic.Int64 // versions that are
	events        events
	counters      Counters
	seq           atomic.Uint64
	retryPrune    atomic.Bool  // a second try is on its way
	unpacked      atomic.Int64 // manifests that papersFile does not have, or has in vain
	generation    atomic.Uint64

	withoutOptimizer sync.Map // by the id of a version: whether it lacks the state of one

	work    sync.WaitGroup // every goroutine that the store started
	stop    chan struct{}
	settled sync.Cond // on mu: a save was committed, parked or dropped
}

// Counters are figures for status and metrics.
type Counters struct {
	Commits, Held, UnknownEnds, Pruned atomic.Int64
}

// ErrLocked says that another process works on the directory.
var ErrLocked = errors.New("in use by another ckptfs")

// Open opens the directory for a mount or an offline command that changes
// something: it takes the lock, recovers, and builds the catalog. The store
// takes over the disk and closes it.
func Open(d disk.Disk, opts Options) (*Store, error) {
	s := newStore(d, opts)
	s.lazy = opts.Mountpoint != ""
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.opts.Claimed(); err != nil {
		s.lock.release()
		return nil, err
	}
	if err := s.recoverAll(); err != nil {
		s.lock.release()
		return nil, fmt.Errorf("recover: %w", err)
	}
	s.startKeeper()
	return s, nil
}

// Look opens the directory to read it only: no lock, no recovery, nothing is
// written. What a mounted daemon has in flight is not seen.
func Look(d disk.Disk, opts Options) (*Store, error) {
	s := newStore(d, opts)
	s.readOnly = true
	if err := s.opts.Claimed(); err != nil {
		return nil, err
	}
	if err := s.buildCatalog(); err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(d disk.Disk, opts Options) *Store {
	s := &Store{
		opts: opts, cfg: opts.Config,
		clock: opts.Clock, procs: opts.Processes, log: opts.Log,
		boot: bootID(), nonce: fmt.Sprintf("%04x", rand.N(1<<16)),
		runs: map[string]*run{}, links: map[string]string{}, pins: map[string]string{},
		stop: make(chan struct{}), shredding: shredding{hurry: make(chan struct{}, 1), piece: pieceOfFile}, hashing: hashing{atOnce: hashAtOnce}, watching: watching{due: make(chan string)},
	}
	s.settled.L = &s.mu
	s.identities.init()
	s.arrivals.threads = map[uint32]arrival{}
	if s.clock == nil {
		s.clock = systemClock{}
	}
	s.useDisk(d)
	if s.procs == nil {
		s.procs = new(proc.System)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Claimed == nil {
		s.opts.Claimed = func() error { return nil }
	}
	if s.opts.Notify == nil {
		s.opts.Notify = silence{}
	}
	if s.opts.Known == "" {
		s.opts.Known = s.opts.Mountpoint
	}
	s.layouts = s.cfg.AllLayouts()
	if name := s.cfg.Layout; name != "" && name != "auto" {
		if l, err := layout.ByName(s.layouts, name); err == nil {
			s.layouts = []*layout.Layout{l}
		}
	}
	return s
}

// useDisk has every call go to a disk, and be noted while it lasts.
func (s *Store) useDisk(d disk.Disk) {
	s.attended = attend(d, s.clock)
	s.disk = s.attended
}

// prepare makes the private directory, takes the lock and probes the disk.
func (s *Store) prepare() (err error) {
	defer func() { err = refuse(err) }()
	if err := makePrivate(s.disk); err != nil {
		return err
	}
	lock, err := takeLock(s.disk, s.opts.Mountpoint)
	if err != nil {
		return err
	}
	s.lock = lock
	s.disk.Ours(stagingDir)
	s.exchange = s.probeExchange()
	return nil
}

// probeExchange finds out whether two directories can be swapped in one step.
func (s *Store) probeExchange() bool {
	a, b := Private+"/probe-a", Private+"/probe-b"
	defer func() { _, _ = s.disk.Rmdir("probe", a), s.disk.Rmdir("probe", b) }()
	for _, p := range []string{a, b} {
		if err := s.disk.Mkdir("probe", p, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return false
		}
	}
	return s.disk.Rename("probe", a, b, unix.RENAME_EXCHANGE) == nil
}

// Close stops the background work, parks what is open, and gives the lock back.
// What was complete should have been settled before.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	s.work.Wait()
	s.closeSaves()
	s.packManifests()
	s.lock.release()
	return s.disk.Close()
}

// Config is the configuration in force.
func (s *Store) Config() policy.Config { return s.cfg }

// Generation grows with every change of what a view may resolve to.
func (s *Store) Generation() uint64 { return s.generation.Load() }

// idTime is how an id begins: with the time of what it stands for, in UTC.
const idTime = "20060102T150405.000"

// newID is unique below this directory, also across mounts within a millisecond,
// and sorts by time.
func (s *Store) newID() string {
	at := s.clock.Now().UTC().Format(idTime)
	return fmt.Sprintf("%s-%03d%s", at, s.seq.Add(1)%1000, s.nonce)
}

// spawn runs f in a goroutine that Close waits for; false when it is too late.
func (s *Store) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

type silence struct{}

func (silence) Entry(string, string)      {}
func (silence) Attributes(string, string) {}
func (silence) Dir(string)                {}
func (silence) Names(string)              {}
func (silence) Version(*Version)          {}
func (silence) File(string)               {}
