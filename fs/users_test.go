package fs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/testdata/figures"
)

// The users of TestUsersMayWhatTheDiskLets: alice owns most of the tree, bob
// nothing, carol is in the group of some of it.
const (
	alice, bob, carol = 1000, 65534, 1001
	team              = 4321
)

// actors are who does the operations.
var actors = []struct {
	name string
	cred syscall.Credential
}{
	{"alice", syscall.Credential{Uid: alice, Gid: alice}},
	{"bob", syscall.Credential{Uid: bob, Gid: bob}},
	{"carol", syscall.Credential{Uid: carol, Gid: carol, Groups: []uint32{team}}},
	{"root", syscall.Credential{}},
}

// An entry of an access control list, as the kernel keeps it in an attribute.
type acl struct {
	tag, perm uint16
	id        uint32
}

const (
	aclUserObj, aclUser, aclGroupObj, aclGroup, aclMask, aclOther = 1, 2, 4, 8, 16, 32

	aclNoID    = ^uint32(0)
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

func aclBytes(list []acl) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range list {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// acls are the lists of the tree: what they grant, and what they forbid to some
// although the mode grants it.
var acls = map[string][]acl{
	"grant": {{aclUserObj, 6, aclNoID}, {aclUser, 6, bob}, {aclGroupObj, 0, aclNoID}, {aclMask, 6, aclNoID}, {aclOther, 0, aclNoID}},
	"deny":  {{aclUserObj, 6, aclNoID}, {aclUser, 0, bob}, {aclGroupObj, 4, aclNoID}, {aclMask, 6, aclNoID}, {aclOther, 4, aclNoID}},
	"mask":  {{aclUserObj, 6, aclNoID}, {aclUser, 4, bob}, {aclGroupObj, 0, aclNoID}, {aclMask, 6, aclNoID}, {aclOther, 0, aclNoID}},
	"dir":   {{aclUserObj, 7, aclNoID}, {aclUser, 7, bob}, {aclGroupObj, 0, aclNoID}, {aclMask, 7, aclNoID}, {aclOther, 0, aclNoID}},
}

// setID are the files of the tree that have a set-id bit.
var setID = []string{"setuid", "setgid", "set-both", "set-both-of-root"}

// someCapability is cap_net_raw, in revision 2 of the attribute.
var someCapability = []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")

// layUsers makes a tree for an operation to work on: the entries that it needs.
func layUsers(dir string, needs []string) error {
	var errs []error
	needed := func(name string) bool { return slices.Contains(needs, name) }
	made := func(p string, uid, gid int, mode uint32) {
		errs = append(errs, os.Lchown(p, uid, gid), syscall.Chmod(p, mode)) // chown clears the set-id bits
	}
	file := func(name string, uid, gid int, mode uint32) {
		p := filepath.Join(dir, name)
		if first, _, _ := strings.Cut(name, "/"); !needed(first) {
			return
		}
		errs = append(errs, os.WriteFile(p, []byte("content"), 0o600))
		made(p, uid, gid, mode)
	}
	folder := func(name string, uid, gid int, mode uint32) {
		p := filepath.Join(dir, name)
		if !needed(name) {
			return
		}
		errs = append(errs, os.Mkdir(p, 0o700))
		for child, owner := range map[string]int{"alices": alice, "bobs": bob, "roots": 0} {
			file(name+"/"+child, owner, owner, 0o644)
		}
		errs = append(errs, os.Mkdir(filepath.Join(p, "sub"), 0o755))
		made(filepath.Join(p, "sub"), alice, alice, 0o755)
		made(p, uid, gid, mode)
	}
	errs = append(errs, os.MkdirAll(dir, 0o777))
	file("private", alice, alice, 0o600)
	file("public", alice, alice, 0o644)
	file("open", alice, alice, 0o666)
	file("teams", alice, team, 0o660)
	file("roots", 0, 0, 0o600)
	file("unreadable", alice, alice, 0o222)
	file("setuid", 0, 0, 0o4777)
	file("setgid", alice, team, 0o2777)
	file("set-both", alice, team, 0o6777)
	file("set-both-of-root", 0, 0, 0o6777)
	file("capable", alice, alice, 0o777)
	if needed("capable") {
		errs = append(errs, unix.Setxattr(filepath.Join(dir, "capable"), "security.capability", someCapability, 0))
	}
	file("program", alice, alice, 0o711)
	folder("private.d", alice, alice, 0o700)
	folder("public.d", alice, alice, 0o755)
	folder("open.d", alice, alice, 0o777)
	folder("search.d", alice, alice, 0o711)
	folder("teams.d", alice, team, 0o2770)
	folder("setgid.d", alice, team, 0o2777)
	folder("sticky.d", 0, 0, 0o1777)
	folder("mysticky.d", alice, alice, 0o1777)
	folder("acl.d", alice, alice, 0o700)
	folder("inherit.d", alice, alice, 0o777)
	list := func(name, attr string, list []acl) {
		if needed(name) {
			errs = append(errs, unix.Setxattr(filepath.Join(dir, name), attr, aclBytes(list), 0))
		}
	}
	for _, name := range []string{"grant", "deny", "mask"} {
		file("acl-"+name, alice, team, 0o600)
		list("acl-"+name, aclAccess, acls[name])
	}
	list("acl.d", aclAccess, acls["dir"])
	list("inherit.d", aclDefault, acls["mask"])
	if needed("link") {
		errs = append(errs, os.Symlink("private", filepath.Join(dir, "link")))
	}
	made(dir, 0, 0, 0o777)
	return errors.Join(errs...)
}

// A userOp works on a tree of its own, which has the entries that it needs, and
// gives what it saw.
type userOp struct {
	needs []string
	do    func(dir string) string
}

// userOps are the operations, by name.
var userOps = buildUserOps()

func buildUserOps() map[string]userOp {
	ops := map[string]userOp{}
	files := []string{"private", "public", "open", "teams", "roots", "unreadable", "setuid", "setgid",
		"set-both", "set-both-of-root", "capable", "acl-grant", "acl-deny", "acl-mask",
		"private.d/alices", "search.d/alices", "search.d/bobs", "sticky.d/alices", "teams.d/alices", "acl.d/alices", "link"}
	dirs := []string{"private.d", "public.d", "open.d", "search.d", "teams.d", "setgid.d", "sticky.d", "mysticky.d", "acl.d", "inherit.d"}
	on := func(names []string, what string, f func(p string) error, after ...string) {
		for _, name := range names {
			first, _, _ := strings.Cut(name, "/")
			needs := []string{first}
			if name == "link" {
				needs = append(needs, "private")
			}
			ops[what+" "+name] = userOp{needs, func(dir string) string {
				p := filepath.Join(dir, name)
				s := outcome(f(p))
				for _, rel := range append([]string{""}, after...) {
					s += " " + describe(filepath.Join(p, rel))
				}
				return s
			}}
		}
	}
	opened := func(flags int, use func(fd int) error) func(p string) error {
		return func(p string) error {
			fd, err := unix.Open(p, flags|unix.O_CLOEXEC, 0o666)
			if err != nil {
				return err
			}
			return errors.Join(use(fd), unix.Close(fd))
		}
	}
	write := func(fd int) error { _, err := unix.Write(fd, []byte("x")); return err }
	nothing := func(int) error { return nil }
	on(files, "read", opened(unix.O_RDONLY, func(fd int) error { _, err := unix.Read(fd, make([]byte, 8)); return err }))
	on(files, "write", opened(unix.O_WRONLY, write))
	on(files, "append", opened(unix.O_WRONLY|unix.O_APPEND, write))
	on(files, "read and write", opened(unix.O_RDWR, write))
	on(files, "empty", opened(unix.O_WRONLY|unix.O_TRUNC, nothing))
	on(files, "empty for reading", opened(unix.O_RDONLY|unix.O_TRUNC, nothing))
	on(files, "empty and write", opened(unix.O_WRONLY|unix.O_TRUNC|unix.O_CREAT, write))
	on(files, "truncate", func(p string) error { return unix.Truncate(p, 3) })
	on(files, "allocate", opened(unix.O_WRONLY, func(fd int) error { return unix.Fallocate(fd, 0, 0, 4096) }))
	all := append(slices.Clone(files), dirs...)
	for what, mode := range map[string]uint32{"chmod": 0o707, "chmod to set-id": 0o6755, "chmod to sticky": 0o1777} {
		on(all, what, func(p string) error { return unix.Chmod(p, mode) })
	}
	for what, ids := range map[string][2]int{
		"give to alice": {alice, -1}, "give to bob": {bob, -1}, "give to the team": {-1, team}, "give to bob's group": {-1, bob}, "chown to nobody": {-1, -1},
	} {
		of := all
		if ids == [2]int{-1, -1} { // what that would do to a set-id bit, the kernel tells nobody
			of = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(setID, name) })
		}
		on(of, what, func(p string) error { return unix.Chown(p, ids[0], ids[1]) })
	}
	on([]string{"link"}, "lchown", func(p string) error { return unix.Lchown(p, -1, team) })
	on(all, "set the times", func(p string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0)
	})
	on(all, "touch", func(p string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, p, nil, 0) })
	some := []string{"private", "open", "teams", "acl-deny", "public.d", "open.d", "sticky.d"}
	for _, attr := range []string{"user.x", "trusted.x", "security.x", "system.x", "security.capability"} {
		all := some
		if attr == "user.x" {
			all = append(files, dirs...)
		}
		value := []byte("x")
		if attr == "security.capability" {
			value = someCapability
		}
		on(all, "setxattr "+attr, func(p string) error { return unix.Setxattr(p, attr, value, 0) })
		on(all, "removexattr "+attr, func(p string) error { return unix.Removexattr(p, attr) })
		on(all, "getxattr "+attr, func(p string) error { _, err := unix.Getxattr(p, attr, make([]byte, 64)); return err })
	}
	for name, list := range map[string][]acl{"grant": acls["grant"], "all": {{aclUserObj, 7, aclNoID}, {aclGroupObj, 7, aclNoID}, {aclOther, 7, aclNoID}}} {
		on(all, "setfacl "+name, func(p string) error { return unix.Setxattr(p, aclAccess, aclBytes(list), 0) })
	}
	on(dirs, "setfacl for children", func(p string) error { return unix.Setxattr(p, aclDefault, aclBytes(acls["dir"]), 0) })
	on(all, "removefacl", func(p string) error { return ignoring(unix.Removexattr(p, aclAccess), unix.ENODATA) })
	for what, mode := range map[string]uint32{"access to read": 4, "access to write": 2, "access to execute": 1} {
		on(append(all, "program"), what, func(p string) error { return unix.Faccessat(unix.AT_FDCWD, p, mode, unix.AT_EACCESS) })
	}
	on(dirs, "list", opened(unix.O_RDONLY|unix.O_DIRECTORY, func(fd int) error { _, err := unix.Getdents(fd, make([]byte, 4096)); return err }))
	on(dirs, "enter", func(p string) error { return errors.Join(unix.Chdir(p), unix.Chdir("/")) })
	on(dirs, "stat in", func(p string) error { var st unix.Stat_t; return unix.Lstat(p+"/alices", &st) })
	on(dirs, "create in", opened2("new", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o666), "new")
	on(dirs, "create set-id in", opened2("new", unix.O_WRONLY|unix.O_CREAT, 0o6777), "new")
	on(dirs, "mkdir in", func(p string) error { return unix.Mkdir(p+"/new", 0o777) }, "new")
	on(dirs, "mkfifo in", func(p string) error { return unix.Mknod(p+"/new", unix.S_IFIFO|0o666, 0) }, "new")
	on(dirs, "mknod of a file in", func(p string) error { return unix.Mknod(p+"/new", unix.S_IFREG|0o6666, 0) }, "new")
	on(dirs, "mknod of a device in", func(p string) error { return unix.Mknod(p+"/new", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }, "new")
	on(dirs, "symlink in", func(p string) error { return unix.Symlink("x", p+"/new") }, "new")
	for _, child := range []string{"alices", "bobs", "roots"} {
		on(dirs, "unlink "+child+" in", func(p string) error { return unix.Unlink(p + "/" + child) })
		on(dirs, "rename "+child+" in", func(p string) error { return unix.Rename(p+"/"+child, p+"/new") })
		on(dirs, "link "+child+" in", func(p string) error { return unix.Link(p+"/"+child, p+"/new") })
		on(dirs, "rename over "+child+" in", func(p string) error {
			return errors.Join(opened2("mine", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o666)(p), unix.Rename(p+"/mine", p+"/"+child))
		}, child)
	}
	on(dirs, "rmdir in", func(p string) error { return unix.Rmdir(p + "/sub") })
	on(dirs, "rename a directory in", func(p string) error { return unix.Rename(p+"/sub", p+"/new") })
	for _, from := range []string{"open.d", "sticky.d", "teams.d"} {
		for what, child := range map[string]string{"a file": "bobs", "a directory": "sub"} {
			for _, to := range []string{"open.d", "public.d", "sticky.d", "private.d"} {
				ops["move "+what+" from "+from+" to "+to] = userOp{[]string{from, to}, func(dir string) string {
					at := filepath.Join(dir, to, "moved")
					return outcome(unix.Rename(filepath.Join(dir, from, child), at)) + " " + describe(at)
				}}
			}
		}
	}
	return ops
}

// opened2 makes a file in a directory.
func opened2(name string, flags int, mode uint32) func(p string) error {
	return func(p string) error {
		fd, err := unix.Open(filepath.Join(p, name), flags|unix.O_CLOEXEC, mode)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}

func ignoring(err, fine error) error {
	if errors.Is(err, fine) {
		return nil
	}
	return err
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var names []string
	for line := range strings.Lines(err.Error()) {
		names = append(names, strings.TrimSpace(line))
	}
	return strings.Join(names, " and ")
}

// describe says who owns what, and who may do what with it.
func describe(p string) string {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	for _, attr := range []string{aclAccess, aclDefault, "security.capability"} {
		b := make([]byte, 256)
		if n, err := unix.Lgetxattr(p, attr, b); err == nil {
			s += fmt.Sprintf(" %s=%s", strings.TrimPrefix(attr, "system.posix_"), aclText(b[:n]))
		}
	}
	return s
}

func aclText(b []byte) string {
	if (len(b)-4)%8 != 0 {
		return fmt.Sprintf("%x", b)
	}
	var words []string
	for b = b[4:]; len(b) > 0; b = b[8:] {
		le := binary.LittleEndian
		words = append(words, fmt.Sprintf("%d:%d:%o", le.Uint16(b), int32(le.Uint32(b[4:])), le.Uint16(b[2:])))
	}
	return strings.Join(words, ",")
}

// actor does every operation in a tree of its own below a directory, and prints
// what came of it.
func actor(dir string) int {
	unix.Umask(0o022)
	for _, name := range opNames() {
		fmt.Printf("%s\t%s\n", name, userOps[name].do(filepath.Join(dir, treeOf(name))))
	}
	return 0
}

func opNames() []string {
	var names []string
	for name := range userOps {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func treeOf(op string) string { return strings.NewReplacer(" ", "_", "/", "-").Replace(op) }

// runnable is this program where everybody may run it.
func runnable(t *testing.T) string {
	t.Helper()
	self := filepath.Join(t.TempDir(), "self")
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(self, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	open(filepath.Dir(self))
	return self
}

// open lets everybody get to a directory of the test.
func open(p string) {
	for ; p != "/"; p = filepath.Dir(p) {
		if st, err := os.Stat(p); err == nil && strings.Contains(p, "Test") {
			os.Chmod(p, st.Mode().Perm()|0o055)
		}
	}
}

// Every user may do through the mount of root what the same call on the backing
// directory lets him do, and nothing else: the same errno, the same owners, modes
// and lists afterwards (P5). In and outside of a checkpoint.
func TestUsersMayWhatTheDiskLets(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount for others and act as several users")
	}
	for name, env := range map[string][]string{"passthrough": nil, "no passthrough": {"CKPTFS_TEST_NO_PASSTHROUGH=1"}} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && env != nil {
				t.Skip("-short: TestSetIDOfAFileThatRootHasOpen does what is different there")
			}
			usersMayWhatTheDiskLets(t, name, env)
		})
	}
}

func usersMayWhatTheDiskLets(t *testing.T, name string, env []string) {
	self := runnable(t)
	direct, dir := t.TempDir(), t.TempDir()
	open(direct)
	open(dir)
	places := []string{"logs", "last_checkpoint"}
	for _, who := range actors {
		for _, op := range opNames() {
			for _, root := range []string{filepath.Join(direct, "logs"), filepath.Join(dir, places[0]), filepath.Join(dir, places[1])} {
				if err := layUsers(filepath.Join(root, who.name, treeOf(op)), userOps[op].needs); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	m := mountOver(t, dir, "", append(env, "CKPTFS_TEST_ALLOW_OTHER=1")...)
	act := func(cred *syscall.Credential, dir string) map[string]string {
		cmd := exec.Command(self, dir)
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "CKPTFS_TEST_ROLE=actor")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
		out := map[string]string{}
		for line := range strings.Lines(said.String()) {
			op, result, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			out[op] = result
		}
		return out
	}
	compared, differ := 0, 0
	for _, who := range actors {
		want := act(&who.cred, filepath.Join(direct, "logs", who.name))
		for _, place := range places {
			got := act(&who.cred, m.path(place, who.name))
			for _, op := range opNames() {
				compared++
				if got[op] != want[op] {
					differ++
					t.Errorf("%s, in %s: %s:\n through the mount %s\n on the disk       %s", who.name, place, op, got[op], want[op])
				}
			}
		}
	}
	figures.Report(t, "users, "+name, "%d operations compared, %d differ", compared, differ)
}
