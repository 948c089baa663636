package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"gopkg.in/yaml.v3"

	"ckptfs/layout"
)

// MaxFile is the size of the largest configuration that is read, in bytes. It
// bounds what a hostile one can cost: less than 64 MiB of memory.
const MaxFile = 64 << 10

// Parse reads a configuration file on top of [Default]. It is strict: every
// key that is unknown or given twice and every value that is not allowed is an
// error that begins with FILE:LINE and says what is allowed. All errors of the
// file are reported together, one a line; of YAML syntax only the first, and
// without a line where the YAML library gives none. An empty file is the
// default.
func Parse(file string, data []byte) (Config, error) {
	if len(data) > MaxFile {
		return Config{}, fmt.Errorf("%s: larger than %d KiB, which no configuration is", file, MaxFile>>10)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return Default(), nil
	case err != nil:
		return Config{}, syntaxError(file, err)
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		return Config{}, fmt.Errorf("%s:%d: a second YAML document begins here; put everything into one", file, second.Line)
	case !errors.Is(err, io.EOF):
		return Config{}, syntaxError(file, err)
	}

	p := parser{file: file, config: Default(), lines: map[string]int{}}
	p.section(document.Content[0], root, "")
	p.views()
	p.layout()
	if len(p.errs) > 0 {
		return Config{}, errors.Join(p.errs...)
	}
	return p.config, nil
}

// parser walks the nodes of one file along the tree of keys.
type parser struct {
	file   string
	config Config
	lines  map[string]int // of every key that was given, by its path
	errs   []error

	// While the keys of some runs are read: their place in the file, and those
	// that were given.
	of    string
	given []string
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", p.file, line, fmt.Errorf(format, args...)))
}

// section reads the keys of one level; path is "" for the file itself.
func (p *parser) section(node *yaml.Node, section key, path string) {
	in, where := " in "+path, path
	if path == "" {
		in, where = "", "the file"
	}
	switch {
	case isNull(node): // "retention:" with nothing below it
		return
	case node.Kind != yaml.MappingNode:
		p.fail(node.Line, "%s holds the keys %s, not %s", where, strings.Join(section.names(), ", "), nodeText(node))
		return
	}
	for i := 0; i < len(node.Content); i += 2 {
		name, content := node.Content[i], node.Content[i+1]
		k, ok := section.find(name.Value)
		if !ok || name.Kind != yaml.ScalarNode {
			p.fail(name.Line, "unknown key %q%s; %s", name.Value, in, suggest(name.Value, section.names()))
			continue
		}
		full := strings.TrimPrefix(path+"."+k.name, ".")
		if line, twice := p.lines[full]; twice {
			p.fail(name.Line, "%s is given twice, first on line %d", full, line)
			continue
		}
		p.lines[full] = name.Line
		switch {
		case k.keys != nil:
			p.section(content, k, full)
		case k.layouts:
			p.layouts(content, full)
		case k.runs:
			p.runs(content, full)
		default:
			p.leaf(content, k, full)
		}
	}
}

// leaf reads one value. Null leaves the default.
func (p *parser) leaf(node *yaml.Node, k key, path string) {
	if isNull(node) {
		return
	}
	nodes, want := []*yaml.Node{node}, "one value"
	if k.value.list {
		want = "a list, such as [a, b]"
		if node.Kind != yaml.SequenceNode {
			p.fail(node.Line, "%s takes %s, not %s", path, want, nodeText(node))
			return
		}
		nodes = node.Content
	}
	var words []string
	for _, n := range nodes {
		if n.Kind != yaml.ScalarNode {
			p.fail(n.Line, "%s takes %s, not %s", path, want, nodeText(n))
			return
		}
		words = append(words, n.Value)
	}
	if err := k.value.parse(&p.config, words); err != nil {
		p.fail(node.Line, "%s: %w", path, err)
	}
	if p.of != "" {
		p.given = append(p.given, strings.TrimPrefix(path, p.of+"."))
	}
}

// views refuses two views of one name. It looks at the whole configuration,
// for a name may collide with a default.
func (p *parser) views() {
	v := p.config.Views
	names := []struct{ key, name string }{
		{"views.latest", v.Latest}, {"views.resume", v.Resume}, {"views.best", v.Best},
		{"views.by-epoch", v.ByEpoch}, {"views.by-step", v.ByStep},
	}
	for i, b := range names {
		for _, a := range names[:i] {
			if a.name == b.name && a.name != "" {
				line := max(p.lines[a.key], p.lines[b.key])
				p.fail(line, "%s and %s are both named %q; every view needs a name of its own", a.key, b.key, a.name)
			}
		}
	}
}

// layouts reads a list of what is a file each elsewhere.
func (p *parser) layouts(node *yaml.Node, path string) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.SequenceNode {
		p.fail(node.Line, "%s takes a list of layouts, not %s", path, nodeText(node))
		return
	}
	for i, item := range node.Content {
		text, err := yaml.Marshal(item)
		if err != nil {
			p.fail(item.Line, "%s: %w", path, err)
			continue
		}
		l, err := layout.Parse(fmt.Sprintf("%d of the list", i+1), text)
		switch {
		case err != nil: // its lines are counted from the layout's first
			p.fail(item.Line, "%s: %w", path, err)
		case slices.ContainsFunc(p.config.Layouts, func(o *layout.Layout) bool { return o.Name == l.Name }):
			p.fail(item.Line, "%s: two are called %s", path, l.Name)
		default:
			p.config.Layouts = append(p.config.Layouts, l)
		}
	}
}

// maxRuns is how many entries are read, which bounds what a hostile file can cost.
const maxRuns = 256

// runs reads patterns, each with the keys of the runs that match.
func (p *parser) runs(node *yaml.Node, path string) {
	switch {
	case isNull(node):
		return
	case node.Kind != yaml.MappingNode:
		p.fail(node.Line, "%s holds paths of runs, each with the keys that differ there, not %s", path, nodeText(node))
		return
	}
	if n := len(node.Content) / 2; n > maxRuns {
		p.fail(node.Line, "%s holds %d entries, %d are allowed; patterns stand for several runs", path, n, maxRuns)
		return
	}
	for i := 0; i < len(node.Content); i += 2 {
		name, content := node.Content[i], node.Content[i+1]
		pattern := name.Value
		if name.Kind != yaml.ScalarNode || pattern == "" || strings.HasPrefix(pattern, "/") || !doublestar.ValidatePattern(pattern) {
			p.fail(name.Line, "%s: %s is no path of a run below the mounted directory, such as codebert, sweep/* or **/trial-*", path, nodeText(name))
			continue
		}
		if slices.ContainsFunc(p.config.Runs, func(r RunConfig) bool { return r.Runs == pattern }) {
			p.fail(name.Line, "%s: %q is given twice", path, pattern)
			continue
		}
		whole := p.config
		p.config, p.of, p.given = Default(), path+"."+pattern, nil
		p.section(content, perRun, p.of)
		slices.Sort(p.given)
		entry := RunConfig{Runs: pattern, Keys: p.given, Values: p.config}
		p.config, p.of, p.given = whole, "", nil
		p.config.Runs = append(p.config.Runs, entry)
	}
}

// layout refuses a name that is no layout's, be it built in or of the file.
func (p *parser) layout() {
	if p.config.Layout == "auto" {
		return
	}
	if _, err := layout.ByName(p.config.AllLayouts(), p.config.Layout); err != nil {
		p.fail(p.lines["layout"], "layout: %w, and auto, which detects it", err)
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// nodeText says what stands where something else was expected.
func nodeText(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return fmt.Sprintf("%q", node.Value)
}

// syntaxLine is how yaml.v3 begins most of its errors.
var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): `)

func syntaxError(file string, err error) error {
	message := err.Error()
	if m := syntaxLine.FindStringSubmatch(message); m != nil {
		return fmt.Errorf("%s:%s: %s", file, m[1], strings.TrimPrefix(message, m[0]))
	}
	return fmt.Errorf("%s: %s", file, strings.TrimPrefix(message, "yaml: "))
}
