package fs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ckptfs/fs/store"
	"ckptfs/layout"
	"ckptfs/policy"
	"ckptfs/testdata/figures"
)

const traceConfig = "save: {settle: 20ms}\nretention: {history: {keep_last: 1}}\n"

// P1 to P4 under every trainer: each trace is played to its end, and once for
// every step of it that the trainer is killed at, in the middle of each write
// and after each step. After every step the views show what the trace says, of
// one save; what is left unfinished is listed with what it lacks.
func TestTraces(t *testing.T) {
	sum := &traceSum{layouts: map[string]bool{}}
	traces := readTraces(t)
	for _, l := range layout.Builtin() {
		if !slices.ContainsFunc(traces, func(tr trace) bool { return tr.layout == l.Name }) {
			t.Errorf("%s has no trace", l.Name)
		}
	}
	for _, tr := range traces {
		t.Run(tr.name, func(t *testing.T) { tr.test(t, sum) })
	}
	if sum.traces > 0 && !t.Failed() {
		figures.Report(t, "traces", "%d, of %d layouts, %d steps, trainers killed at %d points, slowest word on what is missing %.2f s, 0 violations",
			sum.traces, len(sum.layouts), sum.steps, sum.kills, sum.slowest.Seconds())
	}
}

type traceSum struct {
	traces, steps, kills int
	layouts              map[string]bool
	slowest              time.Duration
}

func (tr trace) test(t *testing.T, sum *traceSum) {
	m := mountAt(t, t.TempDir(), t.TempDir(), traceConfig)
	states := tr.play(t, m, sum)
	if t.Failed() {
		return
	}
	kills := tr.kill(t, m, states)
	check := func(when string) {
		t.Helper()
		for _, k := range kills {
			if problem := k.problem(); problem != "" {
				t.Errorf("killed %s, %s: %s", k.where(), when, problem)
			}
		}
	}
	if t.Failed() {
		return
	}
	statusSays(t, m, kills)
	check("then")
	m.stop()
	m.start()
	check("and mounted anew")
	tr.plain(t, m, kills)
	sum.layouts[tr.layout] = true
	sum.traces++
	sum.steps += len(tr.steps) - 1
	sum.kills += len(kills)
}

// play plays a trace to its end, and returns what each state of the views holds.
func (tr trace) play(t *testing.T, m *mounted, sum *traceSum) []map[string]shown {
	r, err := newReplay(tr, m, "whole")
	if err != nil {
		t.Fatal(err)
	}
	defer r.end("kill")
	states := make([]map[string]shown, len(tr.states))
	states[0] = map[string]shown{}
	for i, s := range tr.steps {
		began := time.Now()
		if err := r.do(s, false); err != nil {
			t.Fatalf("%v; status: %s", err, waiting(m)["whole"])
		}
		got, err := r.views()
		if err == nil && s.comes > 0 {
			err = r.remember(s.comes)
		}
		if err != nil {
			t.Fatalf("after %q: %v", s.line, err)
		}
		if states[s.shows] == nil { // it is seen for the first time
			states[s.shows] = got
			if before := states[tr.steps[max(i-1, 0)].shows]; s.verb != "settle" {
				if problem := r.genuine(got, before); problem != "" {
					t.Errorf("after %q: %s", s.line, problem)
				}
			}
		}
		if problem := tr.differs(got, s, states); problem != "" {
			t.Fatalf("after %q: %s", s.line, problem)
		}
		if problem := r.ahead(s); problem != "" {
			t.Errorf("after %q: %s", s.line, problem)
		}
		if len(s.lacks) > 0 && (i == 0 || !slices.Equal(s.lacks, tr.steps[i-1].lacks)) {
			if !within(func() bool { return says(m, "whole", s.lacks) }) {
				t.Errorf("after %q: status does not say that %s is missing, but %q", s.line, strings.Join(s.lacks, ", "), waiting(m)["whole"])
			}
			sum.slowest = max(sum.slowest, time.Since(began))
		}
	}
	if row := runLists(m)["whole"]; row.Layout != tr.layout {
		t.Errorf("it is taken for a run of %s", row.Layout)
	}
	return states
}

// differs says where views show neither what they have to nor what they may.
func (tr trace) differs(got map[string]shown, s traceStep, states []map[string]shown) string {
	now, soon := states[s.shows], tr.states[s.comes]
	if now == nil {
		return ""
	}
	for view, g := range got {
		fresh := s.comes > 0 && g.checkpoint == soon[view] && (states[s.comes] == nil || states[s.comes][view] == g || tr.early[s.comes][g])
		if g != now[view] && !fresh {
			return fmt.Sprintf("%s shows %q, want %q\nof %s", view, g.checkpoint, now[view].checkpoint, words(tr.states[s.shows]))
		}
		if want := tr.states[s.shows][view]; g == now[view] && g.checkpoint != want {
			return fmt.Sprintf("%s shows %q, want %q", view, g.checkpoint, want)
		}
	}
	for view, want := range tr.states[s.shows] {
		if _, ok := got[view]; !ok && soon[view] != "" {
			return fmt.Sprintf("%s shows nothing, want %q", view, want)
		}
	}
	return ""
}

// ahead says which pointer file beneath the mount names what was never committed.
func (r *replay) ahead(s traceStep) string {
	l, err := layout.ByName(layout.Builtin(), r.layout)
	if err != nil {
		return err.Error()
	}
	for _, pointer := range r.pointers {
		content, err := os.ReadFile(path.Join(r.m.back, r.run, pointer))
		p, ok := l.Pointer(pointer)
		if err != nil || !ok {
			continue // there is none
		}
		name, _ := p.Target(content)
		entries, err := filepath.Glob(path.Join(r.m.back, r.run, name+"*")) // a group has several
		committed := err == nil && len(entries) > 0
		for _, state := range r.states[:s.shows+1] { // the trainer may have removed it since
			committed = committed || slices.Contains(slices.Collect(maps.Values(state)), name)
		}
		if !committed {
			return fmt.Sprintf("beneath the mount %s names %s, which is not committed", pointer, name)
		}
	}
	return ""
}

// killed is a replay whose trainer was killed.
type killed struct {
	*replay
	at   int
	half bool
}

func (k killed) where() string {
	if k.half {
		return fmt.Sprintf("in the middle of %q", k.steps[k.at].line)
	}
	return fmt.Sprintf("after %q", k.steps[k.at].line)
}

// expected is the step after which the views show what they have to now.
func (k killed) expected() traceStep {
	if k.half {
		return k.steps[k.at-1]
	}
	return k.steps[k.at]
}

// kill plays a trace once for each point at which the trainer can be killed,
// side by side, each in a run of its own.
func (tr trace) kill(t *testing.T, m *mounted, states []map[string]shown) (all []killed) {
	for i, s := range tr.steps[1:] {
		if s.verb == "exit" || tr.steps[i].verb == "exit" && s.verb == "settle" {
			continue // there is nobody to kill
		}
		for _, half := range []bool{true, false} {
			if half && !s.halves() {
				continue
			}
			r, err := newReplay(tr, m, fmt.Sprintf("killed-%03d-%v", i+1, half))
			if err != nil {
				t.Fatal(err)
			}
			r.seen = states
			all = append(all, killed{r, i + 1, half})
		}
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 6)
	for _, k := range all {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			defer k.end("kill")
			for i, s := range k.steps[:k.at+1] {
				if err := k.do(s, k.half && i == k.at); err != nil {
					t.Errorf("killed %s: %v", k.where(), err)
					return
				}
			}
		})
	}
	wg.Wait()
	return all
}

// problem says what is wrong with what the views show now.
func (k killed) problem() string {
	got, err := k.views()
	if err != nil {
		return err.Error()
	}
	s := k.expected()
	if want := k.seen[s.shows]; maps.Equal(got, want) || s.comes > 0 && k.came(got, s.comes) {
		return k.ahead(s)
	} else if words(got) == words(want) {
		return fmt.Sprintf("the views show %s, but not what they held", words(got))
	}
	return fmt.Sprintf("the views show %s, want %s or %s", words(got), words(k.states[s.shows]), words(k.states[s.comes]))
}

// statusSays waits until status says of every save that a killed trainer has
// left what it lacks, and nothing is under way any more.
func statusSays(t *testing.T, m *mounted, kills []killed) {
	t.Helper()
	var open []string
	within(func() bool {
		open = nil
		for _, r := range m.status().Runs {
			for _, sv := range r.Saves {
				if len(sv.Missing) == 0 || sv.Writers > 0 || sv.State != "open" {
					open = append(open, fmt.Sprintf("%s/%s: %+v", r.Path, sv.Name, sv))
				}
			}
		}
		return len(open) == 0
	})
	for _, o := range open {
		t.Errorf("a killed trainer's save is still under way: %s", o)
	}
	lists := runLists(m)
	for _, k := range kills {
		if lacks := k.expected().lacks; !within(func() bool { return says(m, k.run, lacks) }) {
			t.Fatalf("killed %s: status does not say that %s is missing, but %q", k.where(), strings.Join(lacks, ", "), waiting(m)[k.run])
		}
		if list, ok := lists[k.run]; ok && list.Layout != k.layout && k.expected().shows > 0 {
			t.Errorf("killed %s: it is taken for a run of %s", k.where(), list.Layout)
		}
	}
}

// waiting is what status says that the saves of each run wait for.
func waiting(m *mounted) map[string]string {
	out := map[string]string{}
	for _, r := range m.status().Runs {
		for _, sv := range r.Saves {
			out[r.Path] += sv.Name + ": " + strings.Join(sv.Missing, "; ") + "\n"
		}
	}
	return out
}

func says(m *mounted, run string, lacks []string) bool {
	said := waiting(m)[run]
	return !slices.ContainsFunc(lacks, func(lack string) bool { return !strings.Contains(said, lack) })
}

// runLists is `ckptfs ls --all --json`, by run.
func runLists(m *mounted) map[string]store.RunList {
	var rep store.ListReport
	out := map[string]store.RunList{}
	if err := json.Unmarshal([]byte(read(m.t, m.path(".ckptfs", "ls.json"))), &rep); err != nil {
		m.t.Fatal(err)
	}
	for _, r := range rep.Runs {
		out[r.Path] = r
	}
	return out
}

// plain looks beneath the mount: under the names of checkpoints there is nothing
// but what is committed (P4).
func (tr trace) plain(t *testing.T, m *mounted, kills []killed) {
	t.Helper()
	l, err := layout.ByName(layout.Builtin(), tr.layout)
	if err != nil {
		t.Fatal(err)
	}
	var wrong []string
	if within(func() bool { // a mount goes on with what the last one left
		wrong = nil
		lists := runLists(m)
		for _, k := range kills {
			wrong = append(wrong, k.uncommitted(l, lists[k.run])...)
		}
		return len(wrong) == 0
	}) {
		return
	}
	t.Error(strings.Join(wrong, "\n"))
}

// uncommitted lists what lies in the backing directory without being committed.
func (k killed) uncommitted(l *layout.Layout, list store.RunList) (wrong []string) {
	committed := map[string]bool{}
	for _, c := range list.Checkpoints {
		committed[c.Name] = committed[c.Name] || c.State == policy.Committed
	}
	entries, err := os.ReadDir(path.Join(k.m.back, k.run))
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		match, ok := l.Match(e.Name(), e.IsDir())
		if ok && match.Checkpoint() && e.Type()&os.ModeSymlink == 0 && !committed[match.Name] {
			wrong = append(wrong, fmt.Sprintf("killed %s: %s lies in the backing directory and is not committed", k.where(), e.Name()))
		}
	}
	return wrong
}
