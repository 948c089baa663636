package layout

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"

	"ckptfs/layout/format"
)

var update = flag.Bool("update", false, "write docs/LAYOUTS.md")

const (
	documentTemplate = "../testdata/docs/LAYOUTS.md.tmpl"
	document         = "../docs/LAYOUTS.md"
)

// Kinds are those of a layout, each once.
func (l *Layout) Kinds() string {
	return once(l.entries, func(e entry) string { return string(e.kind) })
}

// Types are those of its checkpoints.
func (l *Layout) Types() string {
	return once(l.entries, func(e entry) string {
		return map[Type]string{Dir: "directories", File: "files", Group: "groups of files"}[e.typ]
	})
}

func once(entries []entry, word func(entry) string) string {
	var all []string
	for _, e := range entries {
		if w := word(e); !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	return strings.Join(all, ", ")
}

// Comment is what stands above a layout's first key.
func (l *Layout) Comment() string {
	var b strings.Builder
	for line := range strings.Lines(string(l.text)) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		b.WriteString(strings.TrimPrefix(text, " "))
	}
	return b.String()
}

// The document says what the layouts say.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(documentTemplate)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := template.New("layouts").Funcs(template.FuncMap{
		"formats": func() string { return "`" + strings.Join(format.Names, "`, `") + "`" },
	}).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	all := Builtin()
	slices.SortFunc(all, func(a, b *Layout) int { return strings.Compare(a.Name, b.Name) })
	if err := tmpl.Execute(&want, all); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(document, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want.String(), string(got)); d != "" {
		t.Errorf("docs/LAYOUTS.md is not what the layouts say (-want +got); go test ./layout -run Document -update writes it:\n%s", d)
	}
}

// The example of the document is a layout that does what the text says of it.
func TestDocumentsExample(t *testing.T) {
	text, err := os.ReadFile(documentTemplate)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "    layouts:\n      - name: mine")
	example, _, _ := strings.Cut(after, "\n\n")
	l, err := Parse("example", []byte("name: mine"+strings.ReplaceAll(example, "\n        ", "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got := said(l, "run_100", true); got != "step global 100" {
		t.Error(got)
	}
	if lines := strings.Count(strings.TrimSpace(example), "\n"); lines > 10 {
		t.Errorf("it has %d lines and the text says ten", lines)
	}
}
