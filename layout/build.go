package layout

import (
	"errors"
	"fmt"
)

// layout checks what concerns more than one value and builds the layout.
func (s *spec) layout() (*Layout, error) {
	if s.Name == "" || len(s.Entries) == 0 {
		return nil, errors.New("name and entries are needed")
	}
	l := &Layout{
		Name: s.Name, About: s.About, Source: s.Source, ListsViews: s.ListsViews,
		rank: s.Rank, learns: s.Learns, telltale: telltale{texts(s.Telltale.Files), s.Telltale.Keys},
		ignored: texts(s.Ignore), marker: string(s.Marker),
	}
	l.Best.Metric, l.Best.Lowest = s.Best.Metric, s.Best.Mode == "min"
	for _, build := range []func(*Layout) error{s.entries, s.pointers, s.files, s.counted, s.metadata} {
		if err := build(l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (s *spec) entries(l *Layout) error {
	for i, e := range s.Entries {
		if e.Kind == "" || e.Type == "" || e.Name.Regexp == nil {
			return fmt.Errorf("entry %d: kind, type and name are needed", i+1)
		}
		built := entry{kind: Kind(e.Kind), typ: Type(e.Type), name: e.Name.Regexp, epochFrom: orOne(s.EpochsFrom)}
		if of := e.Name.SubexpIndex("of") >= 0; of && !built.derived() || !of && built.kind == Backup {
			return fmt.Errorf("entry %d: the group %q belongs to backups, and to temporaries that have a name in theirs", i+1, "of")
		}
		if (built.typ == Group) != (e.Name.SubexpIndex("name") >= 0) {
			return fmt.Errorf("entry %d: the group %q is what the files of a group share; each of type group needs it, and no other", i+1, "name")
		}
		l.entries = append(l.entries, built)
	}
	return nil
}

func (s *spec) pointers(l *Layout) error {
	for i, p := range s.Pointers {
		if p.Name.Regexp == nil || p.Content.Regexp == nil {
			return fmt.Errorf("pointer %d: name and content are needed", i+1)
		}
		group := "name"
		if p.Target != "" {
			group = "n"
		}
		if p.Content.SubexpIndex(group) < 0 || p.Target != "" && !numberedName.MatchString(p.Target) {
			return fmt.Errorf("pointer %d: its content needs the group %q, or the group %q and a target with {n} in it", i+1, "name", "n")
		}
		l.pointers = append(l.pointers, Pointer{name: p.Name.whole(), content: p.Content.whole(), target: p.Target})
	}
	return nil
}

func (s *spec) files(l *Layout) error {
	for i, g := range s.Files {
		if len(g.AnyOf) == 0 {
			return fmt.Errorf("file group %d: any_of is empty", i+1)
		}
		built := group{
			typ: Dir, required: g.Required, core: g.Core,
			when: texts(g.When), unless: texts(g.Unless),
		}
		if g.Type != "" {
			built.typ = Type(g.Type)
		}
		for _, f := range g.AnyOf {
			built.anyOf = append(built.anyOf, file{pattern: string(f.Path), formats: texts(f.Format), keys: f.Keys})
		}
		l.groups = append(l.groups, built)
	}
	return nil
}

func (s *spec) counted(l *Layout) error {
	for i, c := range s.Counted {
		if c.Path.Regexp == nil || (c.Path.SubexpIndex("count") >= 0) == (c.From != "") {
			return fmt.Errorf("counted %d: the path needs the group %q, or from and factors say how many there are", i+1, "count")
		}
		l.counted = append(l.counted, counted{name: c.Path.whole(), from: string(c.From), factors: c.Factors})
	}
	return nil
}

func (s *spec) metadata(l *Layout) error {
	for i, m := range s.Metadata {
		if m.File == "" {
			return fmt.Errorf("metadata %d: file is needed", i+1)
		}
		l.metadata.sources = append(l.metadata.sources, source{
			file: string(m.File), epoch: m.Epoch, epochsDone: m.EpochsDone, step: m.Step,
			globalStep: m.GlobalStep, batchesPerEpoch: m.BatchesPerEpoch,
			metricKeys: m.Metrics, bestName: m.BestName,
			epochFrom: orOne(s.EpochsFrom), stepFrom: orOne(m.StepsFrom), zeroIsBefore: m.StepZero == "starts",
		})
	}
	if re := s.MetricsInName.Regexp; re != nil {
		if re.SubexpIndex("metric") < 0 || re.SubexpIndex("value") < 0 {
			return fmt.Errorf("metrics_in_name needs the groups %q and %q", "metric", "value")
		}
		l.metadata.inName = re
	}
	return nil
}

// orOne is a number that is 1 where it is not given.
func orOne(n *int64) int64 {
	if n == nil {
		return 1
	}
	return *n
}

func texts[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}
