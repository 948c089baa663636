package store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// verification is one Verify.
type verification struct {
	s        *Store
	o        VerifyOptions
	subjects []subject
	checks   []*check
	pass     *pass // nil when nothing is remembered
	since    *time.Time
	proved   int // files, before the interruption

	bytes atomic.Int64 // read so far

	mu       sync.Mutex
	progress VerifyProgress
	told     time.Time
	errs     []error
}

// check is one subject with what was found of it.
type check struct {
	subject
	files  []ManifestFile
	proofs []*proof // parallel; nil until a file is looked at
	gone   bool     // deleted meanwhile
}

// begin lists what is to be read.
func (run *verification) begin() {
	s := run.s
	if run.o.pass != "" && !s.readOnly {
		run.pass, run.since = s.beginPass(run.o.pass, run.o.Again)
	}
	for _, u := range run.subjects {
		c := &check{subject: u}
		run.checks = append(run.checks, c)
		if u.v == nil {
			continue
		}
		if run.o.Deep && !u.v.Adopted { // of a commit that was just now
			s.report("hash a checkpoint", s.hashVersion(u.v, nil))
		}
		s.mu.RLock()
		c.files = slices.Clone(u.v.Files)
		s.mu.RUnlock()
		c.proofs = make([]*proof, len(c.files))
		for i, f := range c.files {
			if by, proved := run.pass.proved(u.v.ID, f.Path); proved {
				c.proofs[i] = &proof{path: f.Path, format: f.Format, size: f.Size, by: by, deep: true}
				run.proved++
				continue
			}
			run.progress.Files++
			if run.o.Deep {
				run.progress.Bytes += f.Size
			}
		}
	}
}

// job is one file to be looked at; several versions may hold it.
type job struct {
	of   []*check
	at   []int // which file of each
	path string
}

// jobs lists the files that are left, each inode once.
func (run *verification) jobs() []*job {
	type inode struct {
		ino     uint64
		size    int64
		mtime   int64
		hash    string
		adopted bool
	}
	var list []*job
	known := map[inode]*job{}
	for _, c := range run.checks {
		for i, f := range c.files {
			if c.proofs[i] != nil {
				continue
			}
			same := inode{f.Ino, f.Size, f.MtimeNS, f.XXH3, c.v.Adopted}
			if j := known[same]; j != nil && f.XXH3 != "" {
				j.of, j.at = append(j.of, c), append(j.at, i)
				run.progress.Files--
				if run.o.Deep {
					run.progress.Bytes -= f.Size
				}
				continue
			}
			j := &job{of: []*check{c}, at: []int{i}, path: path.Join(c.run, c.name, f.Path)}
			list, known[same] = append(list, j), j
		}
	}
	return list
}

// readAll looks at the files, several at a time.
func (run *verification) readAll(ctx context.Context) {
	jobs := run.jobs()
	workers := min(runtime.GOMAXPROCS(0), len(jobs))
	if run.o.rest != nil {
		workers = min(1, len(jobs)) // in the background there is no hurry
	}
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(jobs)) && ctx.Err() == nil && !run.s.stopped(); i = next.Add(1) - 1 {
			run.read(ctx, jobs[i])
		}
	}
	if workers == 1 {
		work() // on the thread of the caller, who may have given it a low priority
		return
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(work)
	}
	all.Wait()
}

// errStopped says that the store is being closed.
var errStopped = errors.New("ckptfs is being stopped")

func (run *verification) prover(ctx context.Context, at string) *prover {
	return &prover{
		deep: run.o.Deep,
		pause: func(n int) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case run.s.stopped():
				return errStopped
			case run.o.rest != nil:
				return run.o.rest(ctx, n)
			}
			return nil
		},
		count: func(n int64) {
			run.bytes.Add(n)
			run.tell(at, false)
		},
	}
}

// read looks at one file, and says what that means for each version that holds it.
func (run *verification) read(ctx context.Context, j *job) {
	run.tell(j.path, false)
	var found proof
	there := false
	left := 0 // those before it are gone; the first that is still there will do
	for ; left < len(j.of) && !there; left++ {
		found, there = run.s.prove(run.prover(ctx, j.path), j.of[left].v, j.of[left].files[j.at[left]])
	}
	if there {
		left--
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	for _, c := range j.of[:left] {
		c.gone = true
	}
	if !there || errors.Is(found.err, context.Canceled) || errors.Is(found.err, context.DeadlineExceeded) || errors.Is(found.err, errStopped) {
		return
	}
	if found.err != nil {
		run.errs = append(run.errs, fmt.Errorf("%s: %w", j.path, found.err))
	}
	if found.damage != "" {
		run.progress.Damaged++
	}
	run.progress.FilesDone++
	for k, c := range j.of {
		if c.gone {
			continue
		}
		p, rec := found, run.s.recordOf(c.v)
		p.path, p.want = c.files[j.at[k]].Path, c.files[j.at[k]].XXH3
		p.stranger = rec != nil && rec.stranger(p.path)
		c.proofs[j.at[k]] = &p
		if found.by != "" && found.damage == "" && found.err == nil {
			run.pass.prove(c.v.ID, p.path, p.by)
		}
		if c.read() {
			run.concludeLocked(c)
		}
	}
	run.s.keepPass(run.pass, false)
}

// read reports whether every file was looked at.
func (c *check) read() bool { return !slices.Contains(c.proofs, nil) }

// concludeLocked writes down what a whole checkpoint was found to be. Needs mu.
func (run *verification) concludeLocked(c *check) {
	var proofs []proof
	for _, p := range c.proofs {
		proofs = append(proofs, *p)
	}
	if err := run.s.noteProofs(c.v, proofs); err != nil {
		run.errs = append(run.errs, fmt.Errorf("write down what was found of %s: %w", path.Join(c.run, c.name), err))
	}
}

// telling is how often progress is told at most.
const telling = 100 * time.Millisecond

// tell tells how far it has come.
func (run *verification) tell(now string, always bool) {
	if run.o.Progress == nil {
		return
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if now != "" {
		run.progress.Now = now
	}
	if at := run.s.clock.Now(); always || at.Sub(run.told) >= telling {
		run.told = at
		run.progress.BytesDone = run.bytes.Load()
		run.o.Progress(run.progress)
	}
}
