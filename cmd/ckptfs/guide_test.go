package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestGuide runs the documents that people follow with their hands: every command
// line in them, in order, and what they show is what it prints.
//
// A command is an indented line that begins with "$ ", the lines after it are its
// output; one that is "…" stands for any number of lines, a … in a line for any
// text. Ages, times, processes and versions are whatever they are. A comment
// <!-- test …--> has lines of a testscript: what the reader has already, or what
// happens to him. "exit 4" in one says how the next command ends.
func TestGuide(t *testing.T) {
	dir := t.TempDir()
	var scripts []string
	for _, doc := range []string{"docs/GUIDE.md", "docs/TROUBLESHOOTING.md"} {
		script, commands, err := scriptOf(readRepo(t, doc))
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if commands < 10 {
			t.Errorf("%s: only %d commands were found", doc, commands)
		}
		for _, named := range inlineCommand.FindAllStringSubmatch(readRepo(t, doc), -1) {
			if !executed(script, strings.Fields(named[1])) {
				t.Errorf("%s: %s is run nowhere in it", doc, named[1])
			}
		}
		file := filepath.Join(dir, strings.TrimSuffix(filepath.Base(doc), ".md")+".txtar")
		if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, file)
	}
	p := scriptParams(t)
	p.Files = scripts
	p.Cmds["shows"] = scriptShows
	testscript.Run(t, p)
}

// inlineCommand is a command line, or what matters of one, in the middle of a text.
var inlineCommand = regexp.MustCompile("`(ckptfs [^`]+)`")

// executed reports whether a script runs a command with these words, among others.
func executed(script string, words []string) bool {
	for line := range strings.Lines(script) {
		left := words
		for _, word := range strings.Fields(line) {
			if len(left) > 0 && word == left[0] {
				left = left[1:]
			}
		}
		if len(left) == 0 && !strings.HasPrefix(line, "#") {
			return true
		}
	}
	return false
}

// scriptOf makes a testscript of a document.
func scriptOf(doc string) (script string, commands int, err error) {
	var out, files strings.Builder
	code := "0"
	lines := strings.Split(doc, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case line == "<!-- test":
			to := &out
			for i++; i < len(lines) && lines[i] != "-->"; i++ {
				if exit, ok := strings.CutPrefix(lines[i], "exit "); ok && to == &out {
					code = exit
					continue
				}
				if strings.HasPrefix(lines[i], "-- ") { // the files of the script
					to = &files
				}
				fmt.Fprintln(to, lines[i])
			}
		case strings.HasPrefix(line, "    $ "):
			commands++
			fmt.Fprintf(&out, "# line %d: %s\n", i+1, strings.TrimSpace(line))
			fmt.Fprintf(&out, "exits %s %s\n", code, strings.TrimPrefix(line, "    $ "))
			code = "0"
			var shown []string
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "    ") && !strings.HasPrefix(lines[i+1], "    $ ") {
				i++
				shown = append(shown, strings.TrimPrefix(lines[i], "    "))
			}
			if len(shown) > 0 {
				name := fmt.Sprintf("output-%d", commands)
				fmt.Fprintf(&out, "shows %s\n", name)
				fmt.Fprintf(&files, "-- %s --\n%s\n", name, strings.Join(shown, "\n"))
			}
		}
	}
	if code != "0" {
		return "", 0, fmt.Errorf("no command follows the last exit %s", code)
	}
	return out.String() + "\n" + files.String(), commands, nil
}

// scriptShows compares what the last command printed with what a document shows:
// shows FILE.
func scriptShows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: shows FILE")
	}
	want := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	printed := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if !shownIn(want, strings.Split(printed, "\n")) {
		ts.Fatalf("the document shows\n%s\nand it prints\n%s", strings.Join(want, "\n"), printed)
	}
}

// shownIn reports whether lines are among those that were printed, one after the
// other where no "…" is between them.
func shownIn(want, printed []string) bool {
	for from := range printed {
		if matchLines(want, printed[from:]) {
			return true
		}
	}
	return false
}

func matchLines(want, printed []string) bool {
	if len(want) == 0 {
		return true
	}
	if want[0] == "…" {
		return shownIn(want[1:], printed) || len(want) == 1
	}
	return len(printed) > 0 && matchLine(want[0], printed[0]) && matchLines(want[1:], printed[1:])
}

// varying is what differs from run to run, and what it counts as.
var varying = []struct {
	is *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\d{8}T\d{6}\.\d{3}-[0-9a-f]+`), "VERSION"},
	{regexp.MustCompile(`\b(process|pid) \d+`), "process N"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?`), "TIME"},
	{regexp.MustCompile(`\b(\d+ (seconds?|minutes?|hours?|days?|weeks?|months?|years?)( ago)?|now)\b`), "AGE"},
	{regexp.MustCompile(`\s+`), " "},
}

func matchLine(want, got string) bool {
	for _, v := range varying {
		want, got = v.is.ReplaceAllString(want, v.as), v.is.ReplaceAllString(got, v.as)
	}
	parts := strings.Split(strings.TrimSpace(want), "…")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimSpace(got))
}
