package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"ckptfs/policy"
)

// What holds for the repository as a whole, and what its documents say of it.

const repo = "../.."

// repoFiles lists the files of the repository, slash-separated, without what
// git and the build keep there.
func repoFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS(repo), ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (p == ".git" || p == "bin" || e.Name() == "__pycache__"):
			return fs.SkipDir
		case e.Type().IsRegular():
			files = append(files, p)
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("list the repository: %v, %d files", err, len(files))
	}
	return files
}

func readRepo(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repo, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// goFile is one file that is compiled into the command.
type goFile struct {
	name, pkg string
	syntax    *ast.File
	imports   []string
}

func sources(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	for _, name := range repoFiles(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repo, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		g := goFile{name: name, pkg: path.Dir(name), syntax: f}
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
			g.imports = append(g.imports, p)
		}
		out = append(out, g)
	}
	return out
}

// inTree reports whether an import or package is one of a tree.
func inTree(p, tree string) bool { return p == tree || strings.HasPrefix(p, tree+"/") }

func TestImportsPointOneWay(t *testing.T) {
	// From the top down: a package may import what stands below it.
	order := []string{"cmd/ckptfs", "fs", "fs/store/backup", "fs/store", "fs/store/disk", "fs/store/proc", "policy", "layout", "layout/format"}
	const fixtures = "testdata/runs"                                                                         // the run that demo, bench and tests work on
	const peer = "testdata/loopback"                                                                         // a program of its own
	forTests := []string{"testdata/figures", "testdata/outside", "testdata/saves", "fs/store/disk/disktest"} // imported by tests only
	for _, f := range sources(t) {
		rank := slices.Index(order, f.pkg)
		if rank < 0 && f.pkg != fixtures && f.pkg != peer && !slices.Contains(forTests, f.pkg) {
			t.Errorf("%s: package %s has no place in the order of imports", f.name, f.pkg)
		}
		for _, imported := range f.imports {
			own, ours := strings.CutPrefix(imported, "ckptfs/")
			if !ours || own == fixtures && (f.pkg == order[0] || slices.Contains(forTests, f.pkg)) {
				continue
			}
			if at := slices.Index(order, own); at <= rank {
				t.Errorf("%s imports %s, which does not stand below %s", f.name, imported, f.pkg)
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	const (
		pure     = "policy decides from what it is given; the same input gives the same decision"
		reader   = "layout reads through an fs.FS that is rooted at one checkpoint, and never writes"
		seam     = "the store reaches the disk through package disk, so that tests can fail each step"
		fuseFree = "only fs speaks FUSE; everything below works without a mount"
	)
	files := sources(t)
	for _, rule := range []struct{ tree, imported, why string }{
		{"policy", "os", pure}, {"policy", "syscall", pure}, {"policy", "net", pure}, {"policy", "io/fs", pure},
		{"policy", "math/rand", pure}, {"policy", "golang.org/x/sys", pure}, {"policy", "log", pure},
		{"layout", "os", reader}, {"layout", "syscall", reader}, {"layout", "net", reader},
		{"layout", "golang.org/x/sys", reader}, {"layout", "time", reader}, {"layout", "log", reader},
		{"fs/store", "path/filepath", seam}, {"fs/store", "os/exec", seam},
		{"fs/store", "github.com/hanwen/go-fuse", fuseFree},
		{"cmd", "github.com/hanwen/go-fuse", fuseFree},
		{"policy", "github.com/hanwen/go-fuse", fuseFree},
		{"layout", "github.com/hanwen/go-fuse", fuseFree},
	} {
		for _, f := range files {
			for _, imported := range f.imports {
				if inTree(f.pkg, rule.tree) && inTree(imported, rule.imported) {
					t.Errorf("%s imports %s: %s", f.name, imported, rule.why)
				}
			}
		}
	}
}

// What YAML looks like is known in one place of a package; all else works on
// what came out.
func TestOneFileParsesYAML(t *testing.T) {
	parsers := map[string][]string{}
	for _, f := range sources(t) {
		if slices.Contains(f.imports, "gopkg.in/yaml.v3") {
			parsers[f.pkg] = append(parsers[f.pkg], f.name)
		}
	}
	for pkg, files := range parsers {
		if len(files) > 1 {
			t.Errorf("%s parses YAML in %v", pkg, files)
		}
	}
}

func TestPolicyHasNoClock(t *testing.T) {
	for _, f := range sources(t) {
		if f.pkg != "policy" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" &&
				slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, sel.Sel.Name) {
				t.Errorf("%s uses time.%s: the time is a parameter", f.name, sel.Sel.Name)
			}
			return true
		})
	}
}

func TestFilesAreShort(t *testing.T) {
	const most = 500
	for _, f := range sources(t) {
		if n := strings.Count(readRepo(t, f.name), "\n"); n > most {
			t.Errorf("%s has %d lines, more than %d: give its second concern a file", f.name, n, most)
		}
	}
}

// A repository is read on other machines than it was written on.
func TestNoPathsOfAMachine(t *testing.T) {
	root, err := filepath.Abs(repo)
	if err != nil {
		t.Fatal(err)
	}
	home := regexp.MustCompile(`/(home|root|Users|work)/[a-zA-Z0-9]`)
	for _, name := range repoFiles(t) {
		content := readRepo(t, name)
		if bytes.IndexByte([]byte(content), 0) >= 0 {
			continue // not a text
		}
		for i, line := range strings.Split(content, "\n") {
			if home.MatchString(line) || strings.Contains(line, root+"/") {
				t.Errorf("%s:%d names a path of one machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// Every direct dependency has its sentence, and no other has one.
func TestDependenciesAreExplained(t *testing.T) {
	var required []string
	for line := range strings.Lines(readRepo(t, "go.mod")) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			required = append(required, fields[0])
		}
	}
	_, section, _ := strings.Cut(readRepo(t, "ARCHITECTURE.md"), "\n## Dependencies\n")
	var explained []string
	for _, m := range regexp.MustCompile("(?m)^- `([^`]+)` \\w+").FindAllStringSubmatch(section, -1) {
		explained = append(explained, m[1])
	}
	slices.Sort(required)
	slices.Sort(explained)
	if diff := cmp.Diff(required, explained); diff != "" {
		t.Errorf("ARCHITECTURE.md does not explain what go.mod requires (-required +explained):\n%s", diff)
	}
}

// documents are the pages that are written for readers.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, name := range repoFiles(t) {
		if path.Ext(name) == ".md" && (path.Dir(name) == "." || path.Dir(name) == "docs") {
			out = append(out, name)
		}
	}
	return out
}

// Each promise names the tests that hold it, and they are there.
func TestPromisesHaveTests(t *testing.T) {
	page := readRepo(t, "docs/SEMANTICS.md")
	_, promises, _ := strings.Cut(page, "\n## Promises\n")
	promises, _, _ = strings.Cut(promises, "\n## ")
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)\\w+)(?:/(\\w+))?`")

	parts := strings.Split(promises, "\n**P")
	for n := 1; n <= 8; n++ {
		prefix := fmt.Sprintf("%d. ", n)
		i := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, prefix) })
		if i < 0 {
			t.Errorf("P%d is not on the page", n)
		} else if !named.MatchString(parts[i]) {
			t.Errorf("P%d names no test", n)
		}
	}

	files, tests := repoFiles(t), map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range declared.FindAllStringSubmatch(readRepo(t, name), -1) {
				tests[path.Dir(name)+"."+m[1]] = true
			}
		}
	}
	for _, m := range named.FindAllStringSubmatch(page, -1) {
		if !tests[m[1]+"."+m[2]] {
			t.Errorf("there is no test %s in %s", m[2], m[1])
		}
		if m[3] != "" && !slices.Contains(files, "testdata/script/"+m[3]+".txtar") {
			t.Errorf("there is no script %s", m[3])
		}
	}
}

// A page that leads to a file that has moved leads nowhere.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	files := repoFiles(t)
	exists := func(name string) bool {
		return slices.ContainsFunc(files, func(f string) bool { return f == name || strings.HasSuffix(f, "/"+name) })
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	source := regexp.MustCompile("`([\\w/]+\\.go)`")
	for _, doc := range documents(t) {
		content := readRepo(t, doc)
		for _, m := range link.FindAllStringSubmatch(content, -1) {
			if target := path.Join(path.Dir(doc), m[1]); !slices.Contains(files, target) {
				t.Errorf("%s links to %s, which is not there", doc, target)
			}
		}
		for _, m := range source.FindAllStringSubmatch(content, -1) {
			if !exists(m[1]) {
				t.Errorf("%s names %s, which is not there", doc, m[1])
			}
		}
	}
}

// commandLine is a line of a code block, or a code span, that runs ckptfs or make.
var commandLine = regexp.MustCompile("(?m)(?:^ {4}(?:\\$ )?|`)((?:ckptfs|make) [a-z][^`#\n]*)")

func TestDocumentedCommands(t *testing.T) {
	targets := regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(readRepo(t, "Makefile"), -1)
	seen := 0
	for _, doc := range documents(t) {
		for _, m := range commandLine.FindAllStringSubmatch(readRepo(t, doc), -1) {
			words := strings.Fields(m[1])
			seen++
			if words[0] == "make" {
				if !slices.ContainsFunc(targets, func(t []string) bool { return t[1] == words[1] }) {
					t.Errorf("%s: %s: the Makefile has no such target", doc, m[1])
				}
				continue
			}
			if err := documented(words[1:]); err != nil {
				t.Errorf("%s: %s: %v", doc, m[1], err)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// documented checks that a command line names a subcommand and flags that exist.
// Operands and values may stand for themselves: DIR, N.
func documented(words []string) error {
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if cmd == root {
		return fmt.Errorf("no command is called %q", words[0])
	}
	for _, w := range rest {
		if w, _, _ = strings.Cut(w, "="); strings.HasPrefix(w, "-") && !hasFlag(cmd, w) {
			return fmt.Errorf("%s has no flag %s", cmd.Name(), w)
		}
	}
	return nil
}

func hasFlag(cmd *cobra.Command, word string) bool {
	cmd.InitDefaultHelpFlag()
	if name, long := strings.CutPrefix(word, "--"); long {
		return cmd.Flag(name) != nil
	}
	return cmd.Flags().ShorthandLookup(word[1:]) != nil
}

// Configuration that the documents show is accepted.
func TestDocumentedConfiguration(t *testing.T) {
	block := regexp.MustCompile(`(?m)^ {4}[a-z]+:\n(?: {6,}.*\n)+`)
	span := regexp.MustCompile("`([a-z]+: \\{[^`]*\\})`")
	seen := 0
	for _, doc := range documents(t) {
		content := readRepo(t, doc)
		shown := block.FindAllString(content, -1)
		for _, m := range span.FindAllStringSubmatch(content, -1) {
			shown = append(shown, m[1])
		}
		for _, yaml := range shown {
			seen++
			if _, err := policy.Parse(doc, []byte(strings.ReplaceAll("\n"+yaml, "\n    ", "\n"))); err != nil {
				t.Errorf("%s shows configuration that is refused: %v", doc, err)
			}
		}
	}
	if seen == 0 {
		t.Error("no configuration was found")
	}
}
