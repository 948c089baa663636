package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"

	"gopkg.in/yaml.v3"

	"ckptfs/layout/format"
)

// Parse reads a layout. source is named in errors, with the line.
func Parse(source string, data []byte) (*Layout, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var s spec
	if err := dec.Decode(&s); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return nil, fmt.Errorf("layout %s: %w", source, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("layout %s: one document is allowed", source)
	}
	l, err := s.layout()
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", source, err)
	}
	return l, nil
}

// A spec is the YAML of a layout; builtin/enstack.yaml explains every key.
// What a single value can get wrong is found by its type below, with the line.
type spec struct {
	Name       string
	Source     string
	ListsViews bool `yaml:"lists_views"`
	Entries    []struct {
		Kind kindSpec
		Type typeSpec
		Name nameSpec
	}
	Ignore []globSpec
	Files  []struct {
		Required bool
		Core     bool
		AnyOf    []struct {
			Path   globSpec
			Format []formatSpec
			Keys   []string
		} `yaml:"any_of"`
	}
	Metadata struct {
		File            string
		Steps           stepsSpec
		Epoch           string
		Step            string
		BatchesPerEpoch string `yaml:"batches_per_epoch"`
		Metrics         []string
	}
}

// layout checks what concerns more than one value and builds the layout.
func (s *spec) layout() (*Layout, error) {
	if s.Name == "" || len(s.Entries) == 0 {
		return nil, errors.New("name and entries are needed")
	}
	l := &Layout{
		Name:       s.Name,
		Source:     s.Source,
		ListsViews: s.ListsViews,
		metadata: metadata{
			file:            s.Metadata.File,
			epoch:           s.Metadata.Epoch,
			step:            s.Metadata.Step,
			batchesPerEpoch: s.Metadata.BatchesPerEpoch,
			metricKeys:      s.Metadata.Metrics,
		},
	}
	for i, e := range s.Entries {
		if e.Kind == "" || e.Type == "" || e.Name.Regexp == nil {
			return nil, fmt.Errorf("entry %d: kind, type and name are needed", i+1)
		}
		built := entry{kind: Kind(e.Kind), isDir: e.Type == "dir", name: e.Name.Regexp}
		if standsFor := e.Name.SubexpIndex("of") >= 0; standsFor != built.derived() {
			return nil, fmt.Errorf("entry %d: the group %q belongs to backups and temporaries, and only to them", i+1, "of")
		}
		l.entries = append(l.entries, built)
	}
	for _, glob := range s.Ignore {
		l.ignored = append(l.ignored, string(glob))
	}
	for i, g := range s.Files {
		if len(g.AnyOf) == 0 {
			return nil, fmt.Errorf("file group %d: any_of is empty", i+1)
		}
		built := group{required: g.Required, core: g.Core}
		for _, f := range g.AnyOf {
			built.anyOf = append(built.anyOf, file{pattern: string(f.Path), formats: texts(f.Format), keys: f.Keys})
		}
		l.groups = append(l.groups, built)
	}
	if s.Metadata.File != "" && s.Metadata.Steps == "" {
		return nil, errors.New("metadata: steps is needed")
	}
	return l, nil
}

func texts[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

type (
	kindSpec   string
	typeSpec   string
	formatSpec string
	stepsSpec  string
	globSpec   string                   // of path.Match
	nameSpec   struct{ *regexp.Regexp } // anchored at both ends
)

func (k *kindSpec) UnmarshalYAML(n *yaml.Node) error {
	kinds := []Kind{Last, Recovery, MidEpoch, EpochEnd, Step, Best, Final, Backup, Temp}
	return oneOf(n, (*string)(k), "kind", texts(kinds)...)
}

func (t *typeSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(t), "type", "dir", "file")
}

func (s *stepsSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(s), "steps", "per_epoch")
}

func (f *formatSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(f), "format", format.Names...)
}

func (g *globSpec) UnmarshalYAML(n *yaml.Node) error {
	if err := n.Decode((*string)(g)); err != nil {
		return err
	}
	if _, err := path.Match(string(*g), ""); err != nil || *g == "" {
		return fmt.Errorf("line %d: bad pattern %q", n.Line, *g)
	}
	return nil
}

func (p *nameSpec) UnmarshalYAML(n *yaml.Node) error {
	var expr string
	if err := n.Decode(&expr); err != nil {
		return err
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	for _, group := range re.SubexpNames()[1:] {
		if !slices.Contains([]string{"", "epoch", "step", "of"}, group) {
			return fmt.Errorf("line %d: unknown group %q; there are epoch, step and of", n.Line, group)
		}
	}
	p.Regexp = re
	return nil
}

// oneOf reads a text that must be one of a few.
func oneOf(n *yaml.Node, to *string, what string, known ...string) error {
	if err := n.Decode(to); err != nil {
		return err
	}
	if !slices.Contains(known, *to) {
		return fmt.Errorf("line %d: unknown %s %q; there are %q", n.Line, what, *to, known)
	}
	return nil
}
