package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

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
	l.text = slices.Clone(data)
	return l, nil
}

// A spec is the YAML of a layout; docs/LAYOUTS.md explains every key. What a
// single value can get wrong is found by its type below, with the line.
type spec struct {
	Name          string
	About         string
	Source        string
	Rank          int
	Telltale      telltaleSpec
	Learns        bool
	ListsViews    bool `yaml:"lists_views"`
	Best          bestSpec
	EpochsFrom    *int64 `yaml:"epochs_from"`
	Entries       []entrySpec
	Ignore        []globSpec
	Marker        markerSpec
	Pointers      []pointerSpec
	Files         []groupSpec
	Counted       []countedSpec
	Metadata      []sourceSpec
	MetricsInName exprSpec `yaml:"metrics_in_name"`
}

type telltaleSpec struct {
	Files []globSpec
	Keys  []string
}

type bestSpec struct {
	Metric string
	Mode   modeSpec
}

type entrySpec struct {
	Kind kindSpec
	Type typeSpec
	Name nameSpec
}

type pointerSpec struct {
	Name    exprSpec
	Content exprSpec
	Target  string
}

type groupSpec struct {
	Type     typeSpec
	Required bool
	Core     bool
	When     []globSpec
	Unless   []globSpec
	AnyOf    []struct {
		Path   globSpec
		Format []formatSpec
		Keys   []string
	} `yaml:"any_of"`
}

type countedSpec struct {
	Path    exprSpec
	From    globSpec
	Factors []string
}

type sourceSpec struct {
	File            globSpec
	Epoch           string
	EpochsDone      string `yaml:"epochs_done"`
	Step            string
	StepZero        zeroSpec `yaml:"step_zero"`
	GlobalStep      string   `yaml:"global_step"`
	StepsFrom       *int64   `yaml:"steps_from"`
	BatchesPerEpoch string   `yaml:"batches_per_epoch"`
	Metrics         []string
	BestName        string `yaml:"best_name"`
}

type (
	kindSpec   string
	typeSpec   string
	formatSpec string
	modeSpec   string
	zeroSpec   string
	globSpec   string                   // see glob.go
	markerSpec string                   // a name with {name} in it
	nameSpec   struct{ *regexp.Regexp } // anchored at both ends
	exprSpec   struct{ *regexp.Regexp } // as it is written
)

// nameGroups are what the expression of an entry may name.
var nameGroups = []string{"", "epoch", "step", "global_step", "name", "of"}

func (k *kindSpec) UnmarshalYAML(n *yaml.Node) error {
	kinds := []Kind{Last, Recovery, MidEpoch, EpochEnd, Step, Best, Final, Backup, Temp}
	return oneOf(n, (*string)(k), "kind", texts(kinds)...)
}

func (t *typeSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(t), "type", texts([]Type{Dir, File, Group})...)
}

func (m *modeSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(m), "mode", "max", "min")
}

func (z *zeroSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(z), "step_zero", "ends", "starts")
}

func (f *formatSpec) UnmarshalYAML(n *yaml.Node) error {
	return oneOf(n, (*string)(f), "format", format.Names...)
}

func (g *globSpec) UnmarshalYAML(n *yaml.Node) error {
	if err := n.Decode((*string)(g)); err != nil {
		return err
	}
	if !validPattern(string(*g)) {
		return fmt.Errorf("line %d: bad pattern %q", n.Line, *g)
	}
	return nil
}

func (m *markerSpec) UnmarshalYAML(n *yaml.Node) error {
	if err := n.Decode((*string)(m)); err != nil {
		return err
	}
	if strings.Count(string(*m), "{name}") != 1 || *m == "{name}" || strings.Contains(string(*m), "/") {
		return fmt.Errorf("line %d: the marker %q is to be a name with {name} in it", n.Line, *m)
	}
	return nil
}

func (p *nameSpec) UnmarshalYAML(n *yaml.Node) error {
	var e exprSpec
	if err := e.UnmarshalYAML(n); err != nil {
		return err
	}
	for _, group := range e.SubexpNames()[1:] {
		if !slices.Contains(nameGroups, group) {
			return fmt.Errorf("line %d: unknown group %q; there are %s", n.Line, group, strings.Join(nameGroups[1:], ", "))
		}
	}
	p.Regexp = e.whole()
	return nil
}

func (e *exprSpec) UnmarshalYAML(n *yaml.Node) error {
	var expr string
	if err := n.Decode(&expr); err != nil {
		return err
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	e.Regexp = re
	return nil
}

// whole is the expression, anchored at both ends.
func (e exprSpec) whole() *regexp.Regexp {
	return regexp.MustCompile(`\A(?:` + e.String() + `)\z`) // it compiled without the anchors
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
