package fs_test

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// op is one operation; as text it is a line of a script in testdata/model:
//
//	1 open a w last_checkpoint/config.json    process 1 opens it as descriptor a
//	1 write a config:3                        and writes the content "config:3"
//	2 rename logs moved noreplace
//	1 kill                                    1 is a new process from here on
//	settle                                    ckptfs is told to commit what is complete
//
// Contents are named: config, model and state with a number are the whole files
// of the checkpoint of that number, text is some words.
type op struct {
	proc int // 0 for what is done to ckptfs
	verb string
	args []string
}

func (o op) String() string {
	words := append([]string{o.verb}, o.args...)
	if o.proc > 0 {
		words = append([]string{strconv.Itoa(o.proc)}, words...)
	}
	return strings.Join(words, " ")
}

func parseOp(line string) (op, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return op{}, fmt.Errorf("empty line")
	}
	proc, err := strconv.Atoi(words[0])
	if err == nil {
		words = words[1:]
	}
	if len(words) == 0 {
		return op{}, fmt.Errorf("%q names no operation", line)
	}
	o := op{proc, words[0], words[1:]}
	if n, ok := operands[o.verb]; !ok || len(o.args) < n || (proc > 0) == global[o.verb] {
		return op{}, fmt.Errorf("%q is not an operation", line)
	}
	return o, nil
}

// operands is how many words follow each operation.
var operands = map[string]int{
	"open": 3, "write": 2, "mmap": 2, "ftruncate": 2, "fsync": 1, "dup": 2, "close": 1, "pread": 1,
	"put": 2, "truncate": 2, "mkdir": 1, "symlink": 1, "link": 2, "rename": 2, "unlink": 1, "rmdir": 1, "rmtree": 1,
	"chmod": 2, "utimes": 2, "read": 1, "list": 1, "fsyncdir": 1, "kill": 0, "exit": 1,
	"settle": 0, "crash": 0, "remount": 0,
}

var global = map[string]bool{"settle": true, "crash": true, "remount": true}

// errSkip says that an operation means nothing now: its descriptor is not open.
var errSkip = fmt.Errorf("nothing to do")

// apply does an operation to the model, and returns what the caller is told.
func (m *model) apply(o op) (answer string, err error) {
	p, arg := o.proc, o.args
	num := func(i int) int { n, _ := strconv.Atoi(arg[i]); return n }
	if m.open[p] == nil && p > 0 {
		m.open[p] = map[string]*handle{}
	}
	switch o.verb {
	case "write", "mmap", "ftruncate", "fsync", "close", "dup", "pread":
		if m.open[p][arg[0]] == nil || o.verb == "dup" && m.open[p][arg[1]] != nil {
			return "", errSkip
		}
	case "open":
		if m.open[p][arg[0]] != nil {
			return "", errSkip
		}
	}
	switch o.verb {
	case "open":
		return "", m.openFile(p, arg[0], arg[1], arg[2])
	case "write":
		return "", m.write(p, arg[0], content(arg[1]))
	case "mmap":
		return "", m.mapped(p, arg[0], content(arg[1]))
	case "ftruncate":
		return "", m.ftruncate(p, arg[0], num(1))
	case "dup":
		m.dup(p, arg[0], arg[1])
	case "close":
		m.closeFile(p, arg[0])
	case "pread":
		return m.pread(p, arg[0])
	case "put":
		return "", m.writeFile(p, arg[0], content(arg[1]))
	case "truncate":
		return "", m.truncate(p, arg[0], num(1))
	case "mkdir":
		return "", m.mkdir(p, arg[0])
	case "symlink":
		return "", m.symlink(p, arg[0])
	case "link":
		return "", m.link(p, arg[0], arg[1])
	case "rename":
		return "", m.rename(p, arg[0], arg[1], len(arg) > 2)
	case "unlink":
		return "", m.unlink(p, arg[0])
	case "rmdir":
		return "", m.rmdir(p, arg[0])
	case "rmtree":
		return "", m.rmtree(p, arg[0])
	case "chmod":
		mode, _ := strconv.ParseUint(arg[1], 8, 32)
		return "", m.chmod(p, arg[0], uint32(mode))
	case "utimes":
		return "", m.utimes(p, arg[0], int64(num(1)))
	case "read":
		data, err := m.read(p, arg[0])
		return digest(data), err
	case "list":
		names, err := m.list(p, arg[0])
		return strings.Join(names, " "), err
	case "fsyncdir":
		return "", m.synced(p, arg[0])
	case "kill":
		m.die(p, false)
	case "exit":
		if num(0) == 0 && m.removing() {
			return "", errSkip // it may be committed as a removal: fs/store.TestRemovalAtUnmount
		}
		m.die(p, num(0) == 0)
	case "settle":
		m.boundary()
	case "crash":
		m.crash()
	case "remount":
		m.boundary()
		for _, p := range sortedKeys(m.procs()) { // the processes close what they have open
			for _, fd := range sortedKeys(m.open[m.procs()[p]]) {
				m.closeFile(m.procs()[p], fd)
			}
		}
	}
	return "", nil
}

func (m *model) procs() map[string]int {
	out := map[string]int{}
	for p := range m.open {
		out[strconv.Itoa(p)] = p
	}
	return out
}

// pick is a generator of one of some words; those that stand more often come
// more often.
func pick(words string) *rapid.Generator[string] { return rapid.SampledFrom(strings.Fields(words)) }

// choice is a path that was drawn: one that is there when its turn has come, or
// one of some names, which may not be.
type choice struct {
	name  string
	there int // the index of one that is there; -1 for the name
	dirs  bool
}

func (c choice) in(m *model) string {
	var there []string
	if c.there >= 0 {
		m.root.below("", func(rel string, e *entry) {
			if rel != "" && (e.kind == 'd' || !c.dirs) {
				there = append(there, rel)
			}
			for _, name := range sortedKeys(e.drafts) {
				if !c.dirs && e.kids[name] == nil {
					there = append(there, path.Join(rel, name))
				}
			}
		})
	}
	if len(there) == 0 {
		return c.name
	}
	return there[c.there%len(there)]
}

func chosen(t *rapid.T, label string, names *rapid.Generator[string], dirs bool) choice {
	c := choice{name: names.Draw(t, label), there: -1, dirs: dirs}
	if rapid.IntRange(0, 2).Draw(t, "there") > 0 {
		c.there = rapid.IntRange(0, 40).Draw(t, "index")
	}
	return c
}

var (
	someProc = rapid.IntRange(1, 2)
	someFD   = pick("a b c")
	someDir  = pick("last_checkpoint last_checkpoint last_checkpoint .backup_last_checkpoint .backup_last_checkpoint " +
		"recovery_checkpoint recovery_checkpoint checkpoint_epoch1_step4 .tmp_last_checkpoint_abcdefgh .tmp_last_checkpoint_abcdefgh " +
		"logs nested nested/last_checkpoint nested/.backup_last_checkpoint moved last_checkpoint/sub recovery_checkpoint/sub")
	someName = pick("config.json config.json pytorch_model.bin training_state.pth notes.txt notes.txt sub sub/x.txt")
	somePath = rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 9).Draw(t, "where") {
		case 0, 1:
			return someDir.Draw(t, "dir")
		case 2:
			return "log.txt"
		}
		return someDir.Draw(t, "dir") + "/" + someName.Draw(t, "name")
	})
	someVerb = pick("put put put put put save save open open open open open open write write write write close close close close close " +
		"mkdir mkdir rename rename rename rename rename rename move move move replace replace aside unlink unlink rmdir rmtree rmtree link link symlink " +
		"chmod utimes truncate truncate ftruncate mmap mmap fsync fsyncdir fsyncdir dup dup pread read list " +
		"put save open write close rename move unlink truncate kill exit settle again")
)

// drawStep draws one operation, or a few that belong together. What is drawn
// does not depend on what was drawn before, so that any of it can be left out
// when a failure is made small; only when its turn has come it is made an
// operation on what is there then.
func drawStep(t *rapid.T) func(m *model) []op {
	verb := someVerb.Draw(t, "verb")
	p := someProc.Draw(t, "process")
	anyPath := func(label string) choice { return chosen(t, label, somePath, false) }
	dir := func(label string) choice { return chosen(t, label, someDir, true) }
	fd := rapid.IntRange(0, 2).Draw(t, "fd")
	number := rapid.IntRange(1, 9).Draw(t, "number")
	size := strconv.Itoa(rapid.SampledFrom([]int{0, 1, 20, 5000, 40000}).Draw(t, "size"))
	plain := func(args ...string) func(*model) []op {
		return func(*model) []op { return []op{{p, verb, args}} }
	}
	onPath := func(c choice, args ...string) func(*model) []op {
		return func(m *model) []op { return []op{{p, verb, append([]string{c.in(m)}, args...)}} }
	}
	onFD := func(args ...string) func(*model) []op {
		return func(m *model) []op {
			fds := sortedKeys(m.open[p])
			if len(fds) == 0 {
				return nil
			}
			return []op{{p, verb, append([]string{fds[fd%len(fds)]}, args...)}}
		}
	}
	rename := func(from, to choice, verb string) func(*model) []op {
		flag := rapid.IntRange(0, 5).Draw(t, "flag") == 0
		return func(m *model) []op {
			args := []string{from.in(m), to.in(m)}
			if flag && verb == "rename" {
				args = append(args, "noreplace")
			}
			return []op{{p, verb, args}}
		}
	}
	switch verb {
	case "settle":
		return func(*model) []op { return []op{{0, "settle", nil}} }
	case "again":
		how := pick("remount crash").Draw(t, "how")
		return func(*model) []op { return []op{{0, how, nil}} }
	case "put":
		c, other := anyPath("path"), rapid.IntRange(0, 7).Draw(t, "other") == 0
		return func(m *model) []op {
			name := c.in(m)
			return []op{{p, "put", []string{name, contentFor(name, number, other)}}}
		}
	case "save":
		c := dir("dir")
		return func(m *model) []op { return saveOps(p, c.in(m), number) }
	case "replace": // as the guide's trainer does it
		remove := rapid.Bool().Draw(t, "remove")
		return func(*model) []op { return replaceOps(p, number, remove) }
	case "aside":
		verb = "rename"
		return plain("last_checkpoint", ".backup_last_checkpoint")
	case "move":
		return rename(dir("from"), chosen(t, "to", someDir, true), "rename")
	case "rename":
		return rename(anyPath("from"), anyPath("to"), "rename")
	case "link":
		return rename(anyPath("from"), anyPath("to"), "link")
	case "open":
		c, flags := anyPath("path"), pick("r r+ rw w w w+ a x").Draw(t, "flags")
		return func(m *model) []op {
			return []op{{p, verb, []string{[]string{"a", "b", "c"}[fd], flags, c.in(m)}}}
		}
	case "write", "mmap":
		return onFD(pick("config:1 model:2 state:3 text:4").Draw(t, "content"))
	case "ftruncate":
		return onFD(size)
	case "fsync", "close", "pread":
		return onFD()
	case "dup":
		return onFD(someFD.Draw(t, "second"))
	case "truncate":
		return onPath(anyPath("path"), size)
	case "mkdir", "rmtree", "fsyncdir", "list":
		return onPath(dir("dir"))
	case "chmod":
		return onPath(anyPath("path"), pick("700 740 755").Draw(t, "mode"))
	case "utimes":
		return onPath(anyPath("path"), strconv.Itoa(1e9+number))
	case "kill":
		return plain()
	case "exit":
		return plain(pick("0 0 1").Draw(t, "status"))
	}
	return onPath(anyPath("path"))
}

// beginnings are what lives begin with.
var beginnings = map[string][]op{
	"nothing": nil,
	"saved":   append(saveOps(1, "last_checkpoint", 1), op{0, "settle", nil}),
	"two": slices.Concat(saveOps(1, "last_checkpoint", 1), saveOps(2, "recovery_checkpoint", 2),
		[]op{{0, "settle", nil}, {1, "put", []string{"last_checkpoint/notes.txt", "text:1"}}, {1, "mkdir", []string{"logs"}}}),
	"saving": append(saveOps(1, "last_checkpoint", 1), op{0, "settle", nil},
		op{1, "put", []string{"last_checkpoint/config.json", "config:2"}}, op{1, "open", []string{"a", "w", "last_checkpoint/pytorch_model.bin"}}),
	"nested": slices.Concat([]op{{1, "mkdir", []string{"nested"}}}, saveOps(1, "nested/last_checkpoint", 1),
		[]op{{0, "settle", nil}, {1, "rename", []string{"nested/last_checkpoint", "nested/.backup_last_checkpoint"}}}),
}

// replaceOps are how the guide's trainer replaces a checkpoint.
func replaceOps(p int, number int, remove bool) []op {
	const name, tmp, backup = "last_checkpoint", ".tmp_last_checkpoint_abcdefgh", ".backup_last_checkpoint"
	ops := append([]op{{p, "rmtree", []string{tmp}}}, saveOps(p, tmp, number)...)
	ops = append(ops, op{p, "rmtree", []string{backup}}, op{p, "rename", []string{name, backup}}, op{p, "rename", []string{tmp, name}})
	if remove {
		ops = append(ops, op{p, "rmtree", []string{backup}})
	}
	return ops
}

func saveOps(p int, dir string, number int) []op {
	n := strconv.Itoa(number)
	return []op{
		{p, "mkdir", []string{dir}},
		{p, "put", []string{dir + "/config.json", "config:" + n}},
		{p, "put", []string{dir + "/pytorch_model.bin", "model:" + n}},
		{p, "put", []string{dir + "/training_state.pth", "state:" + n}},
	}
}

// contentFor is what is written to a file: what it should hold, or another.
func contentFor(name string, number int, other bool) string {
	kind := "text"
	switch {
	case other:
	case strings.HasSuffix(name, ".json"):
		kind = "config"
	case strings.HasSuffix(name, ".bin"):
		kind = "model"
	case strings.HasSuffix(name, ".pth"):
		kind = "state"
	}
	return kind + ":" + strconv.Itoa(number)
}
