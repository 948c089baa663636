package fs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ckptfs/testdata/saves"
)

// trace is what a trainer does to its run, as its own source says: a file in
// testdata/trainers/traces, named after the layout, or after it and a variant.
// A line is a step, or says what is to be seen from there on:
//
//	mkdir checkpoint-10                              the trainer does it, or its rank 0
//	write checkpoint-10/config.json = {"a": 1}       opens, writes half, the other half, closes
//	writesync …                                      has an fsync before the close
//	[1] write checkpoint-10/rng_1.pth < torch.pt 2   rank 1; a real file, stamped as of save 2
//	rename A B, link A B, symlink TARGET A, unlink A, rmtree A, chmod MODE A, utimens A, fsync A, list A
//	exit                                             all ranks end with 0; the next step is a new job's
//	lacks trainer_state.json model*.safetensors      status says that the save waits for these; or "lacks"
//	shows latest by-step/10 = checkpoint-10; best = …
//	                                                 all that the views show; "shows nothing"
//	comes latest by-step/20 = …                      the save is whole: from here on they may show this
//	settle                                           and here they do
//	pointer latest                                   a file that must not name what is not committed
type trace struct {
	name, layout string
	steps        []traceStep
	states       []map[string]string // by view: the checkpoint that it shows
	early        []map[shown]bool    // by state: what a commit may hold of it that came before the last step
	pointers     []string
}

// traceStep is one step, and what is to be seen after it.
type traceStep struct {
	line    string
	rank    int
	verb    string
	args    []string
	content []byte

	shows int      // a state
	comes int      // the state that may be seen already, or 0
	lacks []string // what status says of the save
}

// traceOperands is how many words follow each verb.
var traceOperands = map[string]int{
	"mkdir": 1, "rename": 2, "link": 2, "symlink": 2, "unlink": 1, "rmtree": 1, "chmod": 2, "utimens": 1, "fsync": 1, "list": 1,
	"exit": 0, "settle": 0,
}

func readTraces(t *testing.T) (all []trace) {
	t.Helper()
	files, err := filepath.Glob("../testdata/trainers/traces/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		tr, err := parseTrace(strings.TrimSuffix(filepath.Base(file), ".txt"), read(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, tr)
	}
	return all
}

func parseTrace(name, text string) (trace, error) {
	tr := trace{name: name, states: []map[string]string{{}}}
	tr.layout, _, _ = strings.Cut(name, "-")
	now := traceStep{verb: "start"}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "", "#":
		case "pointer":
			tr.pointers = append(tr.pointers, rest)
		case "lacks":
			now.lacks = strings.Fields(rest)
		case "shows":
			now.shows, err = tr.state(rest)
		case "comes":
			now.comes, err = tr.state(rest)
			now.lacks = nil
		default:
			tr.steps = append(tr.steps, now)
			now, err = nextStep(now, line)
		}
		if err != nil {
			return tr, fmt.Errorf("%q: %w", line, err)
		}
	}
	tr.steps = append(tr.steps, now)
	tr.early = make([]map[shown]bool, len(tr.states))
	return tr, nil
}

// state reads "latest by-step/10 = checkpoint-10; best = checkpoint-5".
func (tr *trace) state(text string) (int, error) {
	views := map[string]string{}
	if text != "nothing" {
		for part := range strings.SplitSeq(text, ";") {
			names, checkpoint, ok := strings.Cut(part, "=")
			if !ok {
				return 0, fmt.Errorf("%q does not say what is shown", part)
			}
			for view := range strings.FieldsSeq(names) {
				views[view] = strings.TrimSpace(checkpoint)
			}
		}
	}
	tr.states = append(tr.states, views)
	return len(tr.states) - 1, nil
}

// nextStep reads a step; what was to be seen before it is to be seen after it
// too, until the trace says better.
func nextStep(before traceStep, line string) (traceStep, error) {
	s := traceStep{line: line, shows: before.shows, comes: before.comes, lacks: before.lacks}
	if rank, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "] "); ok && strings.HasPrefix(line, "[") {
		n, err := strconv.Atoi(rank)
		if err != nil {
			return s, err
		}
		s.rank, line = n, rest
	}
	words := strings.Fields(line)
	s.verb, s.args = words[0], words[1:]
	if s.writing() {
		return s, s.writes(strings.TrimSpace(strings.TrimPrefix(line, s.verb)))
	}
	if n, ok := traceOperands[s.verb]; !ok || len(s.args) != n {
		return s, fmt.Errorf("it is no step")
	}
	if s.verb == "settle" {
		s.shows, s.comes, s.lacks = max(s.shows, s.comes), 0, nil
	}
	return s, nil
}

// halves reports whether the trainer can be killed in the middle of a step.
func (s *traceStep) halves() bool { return s.writing() || s.verb == "rmtree" }

func (s *traceStep) writing() bool { return s.verb == "write" || s.verb == "writesync" }

// writes reads "FILE = TEXT" or "FILE < FIXTURE [STAMP]".
func (s *traceStep) writes(text string) error {
	file, how, _ := strings.Cut(text, " ")
	s.args = []string{file}
	sign, what, _ := strings.Cut(how, " ")
	var err error
	switch words := strings.Fields(what); {
	case sign == "=":
		s.content = []byte(strings.ReplaceAll(what, `\n`, "\n"))
	case sign == "<" && len(words) == 1:
		s.content, err = fixture(words[0])
	case sign == "<" && len(words) == 2:
		if s.content, err = fixture(words[0]); err == nil {
			s.content, err = stamped(words[0], s.content, words[1])
		}
	default:
		err = fmt.Errorf("it does not say what is written")
	}
	return err
}

// fixture is a small real file.
func fixture(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join("../testdata/trainers/traces/files", name))
	if os.IsNotExist(err) {
		return os.ReadFile(filepath.Join("../testdata/formats", name))
	}
	return b, err
}

// stamped makes a file that can be told from that of another save, and is as
// whole as it was.
func stamped(name string, content []byte, stamp string) ([]byte, error) {
	switch {
	case bytes.HasPrefix(content, []byte("PK")) && filepath.Ext(name) != ".distcp":
		return saves.Stamp(content, stamp, 0)
	case filepath.Ext(name) == ".distcp": // nothing reads beyond what the index names
		return append(content, stamp...), nil
	case filepath.Ext(name) == ".safetensors" || filepath.Ext(name) == ".h5": // it ends with tensors
		return append(content[:len(content)-len(stamp)], stamp...), nil
	}
	return nil, fmt.Errorf("%s cannot be stamped", name)
}
