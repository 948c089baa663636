package disk

import (
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Root is the real Disk: a directory held open by descriptor.
type Root struct {
	dir       *os.File
	kept      kept
	noOpen2   atomic.Bool // the kernel or a seccomp filter has no openat2
	noXattrat atomic.Bool // nor getxattrat
	quotaOnce sync.Once
	hasQuotas bool // that statfs does not tell of; set by quotaOnce
}

// OpenRoot opens the directory at name as a Root. It does so before anything is
// mounted over name, and reaches it by descriptor ever after.
func OpenRoot(name string) (*Root, error) {
	dir, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Root{dir: dir}, nil
}

// Close gives the descriptors back.
func (r *Root) Close() error {
	r.kept.close()
	return r.dir.Close()
}

// Fd is the descriptor of the directory itself.
func (r *Root) Fd() int { return int(r.dir.Fd()) }

// longest is how much of a path goes into one system call; PATH_MAX is 4096.
const longest = 3800

// openat opens path beneath the root without following a symbolic link anywhere.
func (r *Root) openat(p string, flags int, mode uint32) (int, error) {
	if dir, base := path.Split(p); base != "" && dir != "" && r.kept.keeps(dir[:len(dir)-1]) {
		d, err := r.directory(dir[:len(dir)-1])
		if err != nil {
			return -1, err
		}
		defer d.release()
		return r.step(d.fd, base, flags, mode)
	}
	at, owned := r.Fd(), false
	for len(p) > longest {
		cut := strings.LastIndexByte(p[:longest], '/')
		if cut <= 0 {
			return -1, unix.ENAMETOOLONG
		}
		next, err := r.step(at, p[:cut], unix.O_PATH|unix.O_DIRECTORY, 0)
		if owned {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at, owned, p = next, true, p[cut+1:]
	}
	fd, err := r.step(at, p, flags, mode)
	if owned {
		unix.Close(at)
	}
	return fd, err
}

func (r *Root) step(at int, p string, flags int, mode uint32) (int, error) {
	if p == "" {
		p = "."
	}
	if !r.noOpen2.Load() {
		how := unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		}
		if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
			how.Mode = uint64(mode & 0o7777)
		}
		for {
			fd, err := unix.Openat2(at, p, &how)
			switch err {
			case unix.EINTR, unix.EAGAIN: // EAGAIN: a rename elsewhere raced with the walk
				continue
			case unix.ENOSYS:
				r.noOpen2.Store(true)
			default:
				return fd, err
			}
			break
		}
	}
	return walk(at, p, flags, mode)
}

// walk does by hand what openat2 does: one component at a time, no links.
func walk(at int, p string, flags int, mode uint32) (int, error) {
	cur, owned := at, false
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if part == ".." {
			return -1, unix.EXDEV
		}
		f, m := unix.O_PATH|unix.O_DIRECTORY, uint32(0)
		if i == len(parts)-1 {
			f, m = flags, mode
		}
		fd, err := unix.Openat(cur, part, f|unix.O_CLOEXEC|unix.O_NOFOLLOW, m)
		if owned {
			unix.Close(cur)
		}
		if err != nil {
			return -1, err
		}
		cur, owned = fd, true
	}
	return cur, nil
}

// at calls f with the directory that holds path and the last component.
func (r *Root) at(p string, f func(dirfd int, base string) error) error {
	dir, base := path.Split(p)
	if dir == "" && base == "" {
		base = "."
	}
	d, err := r.directory(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer d.release()
	return f(d.fd, base)
}

// wrap says what was being done to which path; errors.Is still sees the errno.
func wrap(op Op, verb, p string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{op, verb, p, err}
}

// failure is an error of a call. Most are answers, that something is not there, and
// nobody reads their words: they are put together for those who do.
type failure struct {
	op   Op
	verb string
	path string
	err  error
}

// Error implements error.
func (f *failure) Error() string {
	p := f.path
	if p == "" {
		p = "."
	}
	said := f.verb + " " + p + ": " + f.err.Error()
	if f.op != "" {
		said = string(f.op) + ": " + said
	}
	return said
}

// Unwrap lets errors.Is see the errno.
func (f *failure) Unwrap() error { return f.err }

// again repeats a call that a signal interrupted.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
