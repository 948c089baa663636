package fs_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// worker is the body of a process of a life: it does one operation per line of
// its stdin to the mount, with the plain system calls, and answers with a line:
// "ok", with what there is to tell, or the errno's name.
func modelWorker() int {
	unix.Umask(0)
	w := &modelProcess{fds: map[string]int{}}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		answer, err := w.do(words[0], words[1:])
		var errno unix.Errno
		switch {
		case err == nil:
			fmt.Println("ok", answer)
		case errors.As(err, &errno):
			fmt.Println(unix.ErrnoName(errno))
		default:
			fmt.Println("failed:", err)
		}
	}
	return 0
}

type modelProcess struct {
	dir string // of the life
	fds map[string]int
}

func (w *modelProcess) do(verb string, arg []string) (answer string, err error) {
	at := func(i int) string { return filepath.Join(w.dir, arg[i]) }
	num := func(i int) int { n, _ := strconv.Atoi(arg[i]); return n }
	fd := -1
	if len(arg) > 0 {
		if n, ok := w.fds[arg[0]]; ok {
			fd = n
		}
	}
	switch verb {
	case "in": // a new life
		for name, fd := range w.fds {
			unix.Close(fd)
			delete(w.fds, name)
		}
		w.dir = arg[0]
	case "look":
		return w.look(arg)
	case "open":
		fd, err := openRegular(at(2), openFlags[arg[1]])
		if err == nil {
			w.fds[arg[0]] = fd
		}
		return "", err
	case "write":
		return "", writeFull(fd, content(arg[1]))
	case "mmap":
		return "", storeMapped(fd, content(arg[1]))
	case "ftruncate":
		return "", unix.Ftruncate(fd, int64(num(1)))
	case "fsync":
		return "", unix.Fsync(fd)
	case "dup":
		second, err := unix.Dup(fd)
		w.fds[arg[1]] = second
		return "", err
	case "close":
		delete(w.fds, arg[0])
		return "", unix.Close(fd)
	case "pread":
		data, err := io.ReadAll(io.NewSectionReader(preader(fd), 0, 1<<30))
		return digest(data), err
	case "put":
		fd, err := openRegular(at(0), openFlags["w"])
		if err != nil {
			return "", err
		}
		err = writeFull(fd, content(arg[1]))
		return "", errors.Join(err, unix.Close(fd))
	case "truncate":
		return "", unix.Truncate(at(0), int64(num(1)))
	case "mkdir":
		return "", unix.Mkdir(at(0), 0o755)
	case "symlink":
		return "", unix.Symlink("nowhere", at(0))
	case "link":
		return "", unix.Link(at(0), at(1))
	case "rename":
		flags := uint(0)
		if len(arg) > 2 {
			flags = unix.RENAME_NOREPLACE
		}
		return "", unix.Renameat2(unix.AT_FDCWD, at(0), unix.AT_FDCWD, at(1), flags)
	case "unlink":
		return "", unix.Unlink(at(0))
	case "rmdir":
		return "", unix.Rmdir(at(0))
	case "rmtree":
		return "", os.RemoveAll(at(0))
	case "chmod":
		mode, _ := strconv.ParseUint(arg[1], 8, 32)
		return "", unix.Chmod(at(0), uint32(mode))
	case "utimes":
		now := unix.NsecToTimespec(int64(num(1)) * 1e9)
		return "", unix.UtimesNanoAt(unix.AT_FDCWD, at(0), []unix.Timespec{now, now}, 0)
	case "read":
		data, err := readWhole(at(0))
		return digest(data), err
	case "list":
		names, err := listNames(at(0))
		return strings.Join(withoutViews(names), " "), err
	case "fsyncdir":
		fd, err := unix.Open(at(0), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		return "", unix.Fsync(fd)
	case "exit":
		os.Exit(num(0)) // with all that is open
	default:
		return "", fmt.Errorf("%s is not an operation", verb)
	}
	return "", nil
}

func openRegular(name string, flags int) (int, error) {
	fd, err := unix.Open(name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, newFileMode)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		unix.Close(fd)
		return -1, unix.EISDIR
	}
	return fd, nil
}

func writeFull(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// storeMapped writes through a shared mapping of what the file has.
func storeMapped(fd int, data []byte) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	n := min(len(data), int(st.Size))
	mapped, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(mapped, data)
	return errors.Join(unix.Msync(mapped, unix.MS_SYNC), unix.Munmap(mapped))
}

type preader int

func (fd preader) ReadAt(b []byte, off int64) (int, error) {
	n, err := unix.Pread(int(fd), b, off)
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func readWhole(name string) ([]byte, error) {
	fd, err := openRegular(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return io.ReadAll(io.NewSectionReader(preader(fd), 0, 1<<30))
}

func listNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// sight is what one look found at a path.
type sight struct {
	Kind  string // d, f, l, or the errno that there was
	Mode  uint32
	Nlink uint64
	Ino   uint64
	Mtime int64
	Size  int64
	Data  string // the digest of a file, the target of a link
}

// look walks the whole directory of the life, and looks at some names more that
// listings do not show.
func (w *modelProcess) look(more []string) (string, error) {
	seen := map[string]sight{}
	var visit func(rel string, listed bool)
	visit = func(rel string, listed bool) {
		s := lookAt(filepath.Join(w.dir, rel))
		seen[rel] = s
		if s.Kind != "d" || !listed {
			return
		}
		names, err := listNames(filepath.Join(w.dir, rel))
		if err != nil {
			seen[rel] = sight{Kind: "listing: " + err.Error()}
		}
		for _, name := range names {
			visit(path.Join(rel, name), true)
		}
	}
	visit("", true)
	for _, rel := range more {
		if _, ok := seen[rel]; !ok {
			visit(rel, false)
		}
	}
	b, err := json.Marshal(seen)
	return string(b), err
}

func lookAt(name string) sight {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return sight{Kind: errnoName(err)}
	}
	s := sight{Mode: st.Mode & 0o7777, Nlink: uint64(st.Nlink), Ino: st.Ino, Mtime: st.Mtim.Sec, Size: st.Size}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		s.Kind = "d"
	case unix.S_IFLNK:
		target, err := os.Readlink(name)
		s.Kind, s.Data = "l", target
		if err != nil {
			s.Kind = errnoName(err)
		}
	default:
		data, err := readWhole(name)
		s.Kind, s.Data = "f", digest(data)
		if err != nil {
			s.Kind = errnoName(err)
		}
	}
	return s
}

func errnoName(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// content is the file of a name such as "state:3". All of it is known by digest,
// so that a difference can be told in words.
func content(name string) []byte {
	contents.mu.Lock()
	defer contents.mu.Unlock()
	if b := contents.byName[name]; b != nil {
		return b
	}
	kind, number, _ := strings.Cut(name, ":")
	n, _ := strconv.Atoi(number)
	var b []byte
	switch kind {
	case "config":
		b = fmt.Appendf(nil, `{"num_labels": 2, "token": %q}`, number)
	case "model":
		b = saveFiles(number, 0)["pytorch_model.bin"]
	case "state":
		b = withProgress(saveFiles(number, 0)["training_state.pth"], byte(n))
	default:
		b = bytes.Repeat([]byte("text "+number+"\n"), 10+n)
	}
	contents.byName[name] = b
	contents.names[digest(b)] = name
	return b
}

var contents = struct {
	mu     sync.Mutex
	byName map[string][]byte
	names  map[string]string // by digest
}{byName: map[string][]byte{}, names: map[string]string{digest(nil): "empty"}}

// digest tells contents apart.
func digest(b []byte) string { return fmt.Sprintf("%d:%016x", len(b), xxh3.Hash(b)) }

// nameOf is the name of a content, or its digest.
func nameOf(b []byte) string { return named(digest(b)) }

func named(digest string) string {
	contents.mu.Lock()
	defer contents.mu.Unlock()
	if name := contents.names[digest]; name != "" {
		return name
	}
	return digest
}

// epochOf is where the pickle of a training state has its epoch.
var epochOf = regexp.MustCompile(`(?s)epochq.K(.)`)

// withProgress sets the epoch of a training state, and mends its zip.
func withProgress(state []byte, epoch byte) []byte {
	r, err := zip.NewReader(bytes.NewReader(state), int64(len(state)))
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			panic(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			panic(err)
		}
		if at := epochOf.FindSubmatchIndex(data); at != nil && path.Base(f.Name) == "data.pkl" {
			data[at[2]] = epoch
		}
		to, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store})
		if err == nil {
			_, err = to.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
