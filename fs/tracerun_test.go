package fs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// replay is one go through a trace, in a run of its own.
type replay struct {
	trace
	m     *mounted
	run   string             // below the mount
	seen  []map[string]shown // by state, what the views showed in the first replay; nil in that
	ranks map[int]*modelWorkerProcess
}

func newReplay(tr trace, m *mounted, run string) (*replay, error) {
	r := &replay{trace: tr, m: m, run: run, ranks: map[int]*modelWorkerProcess{}}
	return r, os.MkdirAll(m.path(run), 0o755)
}

// rank is a process of the trainer; it is started with its first step.
func (r *replay) rank(n int) (*modelWorkerProcess, error) {
	if w := r.ranks[n]; w != nil {
		return w, nil
	}
	w, err := startWorker("trace", r.m.path(r.run))
	r.ranks[n] = w
	return w, err
}

// end ends all processes of the trainer: at once with "kill", or with status 0.
func (r *replay) end(how string) {
	for _, w := range r.ranks {
		if how == "kill" {
			w.cmd.Process.Kill()
		}
		w.in.Close()
	}
	for n, w := range r.ranks {
		w.cmd.Wait() // its end is what was asked for
		delete(r.ranks, n)
	}
}

// do carries out a step. Of a write that is to be killed it does the first half.
func (r *replay) do(s traceStep, half bool) error {
	switch s.verb {
	case "start":
		return nil
	case "exit":
		r.end("exit")
		return nil
	case "settle":
		return r.settled(s.shows)
	}
	orders := []traceOrder{{s.verb, s.args, nil}}
	if s.writing() {
		middle, finish := len(s.content)/2, "finish"
		if s.verb == "writesync" {
			finish = "finish and fsync"
		}
		orders = []traceOrder{{"begin", s.args, s.content[:middle]}, {finish, nil, s.content[middle:]}}
		if half {
			orders = orders[:1]
		}
	}
	if s.verb == "rmtree" && half {
		orders[0].Verb = "begin rmtree"
	}
	w, err := r.rank(s.rank)
	for _, o := range orders {
		var line []byte
		if err == nil {
			line, err = json.Marshal(o)
		}
		if err == nil {
			_, err = w.do(string(line))
		}
	}
	if err != nil {
		return fmt.Errorf("%q: %w", s.line, err)
	}
	return nil
}

// settled waits until the views show a state: that of a replay before this one,
// or, in the first, what the live names hold.
func (r *replay) settled(state int) error {
	want := r.states[state]
	var got map[string]shown
	var problem string
	if within(func() bool {
		var err error
		got, err = r.views()
		switch {
		case err != nil:
			problem = err.Error()
		case words(got) != words(want):
			problem = fmt.Sprintf("the views show %s, want %s", words(got), words(want))
		case r.seen != nil && !maps.Equal(got, r.seen[state]):
			problem = "the views show another content than the first time"
		case r.seen == nil:
			problem = r.genuine(got, nil)
		default:
			return true
		}
		return problem == ""
	}) {
		return nil
	}
	return errors.New("settle: " + problem)
}

// genuine says what is wrong with what views show of a checkpoint: it is neither
// what the live name holds, nor what a view showed of it before.
func (r *replay) genuine(views, before map[string]shown) string {
	for view, s := range views {
		live, err := treeDigest(r.m.path(r.run, s.checkpoint))
		known := err == nil && live == s.content
		for _, b := range before {
			known = known || b.content == s.content
		}
		if !known && (before != nil || err == nil && !strings.HasPrefix(view, "by-")) {
			return fmt.Sprintf("%s shows something else than %s holds", view, s.checkpoint)
		}
	}
	return ""
}

// remember notes what the names hold of a state that may come now: a save that is
// whole is committed when nothing changes for a while, and on a slow machine that
// is between any two of the steps that are left.
func (r *replay) remember(state int) error {
	if r.early[state] == nil {
		r.early[state] = map[shown]bool{}
	}
	for _, checkpoint := range r.states[state] {
		live, err := treeDigest(r.m.path(r.run, checkpoint))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.early[state][shown{checkpoint, live}] = err == nil
	}
	return nil
}

// came reports whether views show a state as it is when it has settled, or as it
// was at a step before.
func (r *replay) came(got map[string]shown, state int) bool {
	return words(got) == words(r.states[state]) && !slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(view string) bool {
		return got[view] != r.seen[state][view] && !r.early[state][got[view]]
	})
}

// shown is what a view shows: a checkpoint of some content.
type shown struct{ checkpoint, content string }

func (s shown) String() string { return s.checkpoint }

// views reads all views of the run as they are at one moment: a commit may come
// between two of them, and then they are read again.
func (r *replay) views() (map[string]shown, error) {
	before, err := r.readViews()
	for err == nil {
		var now map[string]shown
		if now, err = r.readViews(); maps.Equal(before, now) {
			break
		}
		before = now
	}
	return before, err
}

// readViews reads them through the mount, one by one, with all that they hold.
// Those whose names the trainer has for itself have an @.
func (r *replay) readViews() (map[string]shown, error) {
	names := []string{"latest", "resume", "best"}
	for i, name := range names {
		if slices.ContainsFunc(r.states, func(s map[string]string) bool { return s["@"+name] != "" }) {
			names[i] = "@" + name
		}
	}
	for _, index := range []string{"by-epoch", "by-step"} {
		numbers, err := listNames(r.m.path(r.run, index))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, n := range numbers {
			names = append(names, index+"/"+n)
		}
	}
	out := map[string]shown{}
	for _, name := range names {
		s, err := lookInto(r.m.path(r.run, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
}

// lookInto reads what a view shows from one directory that is opened once: by its
// path it may be another one from one file to the next.
func lookInto(view string) (s shown, err error) {
	d, err := os.Open(view)
	if err != nil {
		return s, err
	}
	defer d.Close() // it was only read
	buf := make([]byte, 256)
	n, err := unix.Fgetxattr(int(d.Fd()), "user.ckptfs.target", buf)
	if err != nil {
		return s, err
	}
	s.checkpoint = string(buf[:n])
	s.content, err = treeDigest(fmt.Sprintf("/proc/self/fd/%d/.", d.Fd()))
	return s, err
}

// treeDigest tells contents of checkpoints apart, of directories and of files.
func treeDigest(root string) (string, error) {
	var all strings.Builder
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p) // p lies below it
		if rel == "." {
			rel = d.Name() // a view of a file is a directory that holds it
		}
		fmt.Fprintf(&all, "%s %s\n", rel, digest(b))
		return err
	})
	return digest([]byte(all.String())), err
}

// words lists views and what they show.
func words[V any](views map[string]V) string {
	var out []string
	for _, view := range slices.Sorted(maps.Keys(views)) {
		out = append(out, fmt.Sprintf("%s=%v", view, views[view]))
	}
	return "[" + strings.Join(out, " ") + "]"
}
