package main

import (
	"cmp"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"ckptfs/layout"
	"ckptfs/layout/format"
	"ckptfs/policy"
)

func newInspectCommand() *cobra.Command {
	var opts askOptions
	cmd := &cobra.Command{
		Use:   "inspect CHECKPOINT [CHECKPOINT]",
		Short: "Say what is in a checkpoint, and what resuming from it does",
		Long: `Say what is in a checkpoint: its files, how far training had come and where it goes
on from here, metrics, tensors, and whether optimizer, scheduler and scaler are there.
CHECKPOINT is the path of a checkpoint or of a view, of a mount or of a directory that
is not mounted, or of a copy. Of two, what differs is listed. No tensor is read.`,
		Example: `  ckptfs inspect checkpoints/codebert/last_checkpoint
  ckptfs inspect checkpoints/codebert/resume checkpoints/codebert/best`,
		Args: operands(1, 2, "one CHECKPOINT, or two to compare"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInspect(cmd.OutOrStdout(), opts, args)
		},
	}
	opts.addFlags(cmd)
	return cmd
}

// inspection is `inspect --json`. Differences are null unless two are compared.
type inspection struct {
	Checkpoints []inspected  `json:"checkpoints"`
	Differences []difference `json:"differences"`
}

// inspected is one checkpoint. Run, kind and state are "" for a copy that lies in
// no run.
type inspected struct {
	Path       string             `json:"path"` // as it was given
	Run        string             `json:"run"`
	Name       string             `json:"name"`
	Layout     string             `json:"layout"`
	Kind       layout.Kind        `json:"kind"`
	State      policy.State       `json:"state"`
	Reason     string             `json:"reason"`
	Epoch      *int64             `json:"epoch"`
	Step       *int64             `json:"step"`
	GlobalStep *int64             `json:"global_step"`
	Batches    *int64             `json:"batches_per_epoch"`
	Resuming   string             `json:"resuming"`
	Metrics    map[string]float64 `json:"metrics"`
	States     map[string]bool    `json:"training_state"` // optimizer, scheduler, scaler, random
	Size       int64              `json:"size"`
	Tensors    *tensors           `json:"tensors"`
	Files      []inspectedFile    `json:"files"`
	Missing    []string           `json:"missing"`
	Problems   []string           `json:"problems"`
}

type inspectedFile struct {
	Path    string   `json:"path"`
	Format  string   `json:"format"`
	Size    int64    `json:"size"`
	Tensors *tensors `json:"tensors"` // null where the format does not tell
	Problem string   `json:"problem"`
}

type tensors struct {
	Count    int     `json:"count"`
	Elements int64   `json:"parameters"`
	DTypes   []dtype `json:"dtypes"` // those with the most bytes first
}

type dtype struct {
	Name     string `json:"dtype"`
	Tensors  int    `json:"tensors"`
	Elements int64  `json:"parameters"`
	Bytes    int64  `json:"bytes"`
}

func runInspect(out io.Writer, opts askOptions, args []string) error {
	doc := inspection{}
	for _, arg := range args {
		c, err := inspect(opts, arg)
		if err != nil {
			return err
		}
		doc.Checkpoints = append(doc.Checkpoints, c)
	}
	if len(args) == 2 {
		doc.Differences = compareCheckpoints(doc.Checkpoints[0], doc.Checkpoints[1])
	}
	var err error
	if opts.json {
		err = writeJSON(out, doc)
	} else {
		err = printInspection(out, doc)
	}
	if err != nil {
		return err
	}
	for _, c := range doc.Checkpoints {
		if len(c.Missing) > 0 || len(c.Problems) > 0 {
			return damageError("%s is not whole", c.Path)
		}
	}
	return nil
}

// inspect looks into one checkpoint.
func inspect(opts askOptions, arg string) (c inspected, err error) {
	f, err := findCheckpoint(opts, arg)
	if err != nil {
		return c, err
	}
	defer f.Close() // it was only read
	rep, err := f.layout.Inspect(f.files(), f.match)
	if err != nil {
		return c, err
	}
	contents, err := layout.Contents(f.files(), rep.Files)
	if err != nil {
		return c, err
	}
	p := rep.Progress
	c = inspected{
		Path: arg, Run: f.run.Path, Name: f.row.Name, Layout: f.run.Layout, Kind: f.match.Kind, State: f.row.State, Reason: f.row.Reason,
		Epoch: p.Epoch, Step: p.Step, GlobalStep: p.GlobalStep, Batches: p.BatchesPerEpoch, Resuming: p.Resuming(),
		Metrics: rep.Metrics, States: map[string]bool{}, Files: []inspectedFile{},
		Missing: orNone(rep.Missing), Problems: orNone(rep.Problems),
	}
	if c.Metrics == nil {
		c.Metrics = map[string]float64{}
	}
	for _, state := range layout.States {
		c.States[state] = slices.ContainsFunc(contents, func(one layout.Content) bool { return slices.Contains(one.States, state) })
	}
	for i, file := range rep.Files {
		t := tensorsOf(contents[i].Tensors)
		c.Files = append(c.Files, inspectedFile{Path: file.Path, Format: file.Format, Size: file.Size, Tensors: t, Problem: file.Problem})
		c.Size += file.Size
		c.Tensors = c.Tensors.plus(t)
	}
	return c, nil
}

func orNone(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

func tensorsOf(t *format.Tensors) *tensors {
	if t == nil {
		return nil
	}
	out := &tensors{Count: t.Count, Elements: t.Elements, DTypes: []dtype{}}
	for _, name := range slices.Sorted(maps.Keys(t.DTypes)) {
		d := t.DTypes[name]
		out.DTypes = append(out.DTypes, dtype{name, d.Tensors, d.Elements, d.Bytes})
	}
	out.sort()
	return out
}

func (t *tensors) sort() {
	slices.SortStableFunc(t.DTypes, func(a, b dtype) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
}

// plus is the sum for the files of a checkpoint, nil while none tells.
func (t *tensors) plus(u *tensors) *tensors {
	if u == nil {
		return t
	}
	sum := tensors{DTypes: []dtype{}}
	for _, part := range []*tensors{t, u} {
		if part == nil {
			continue
		}
		sum.Count += part.Count
		sum.Elements += part.Elements
		for _, d := range part.DTypes {
			at := slices.IndexFunc(sum.DTypes, func(have dtype) bool { return have.Name == d.Name })
			if at < 0 {
				sum.DTypes = append(sum.DTypes, d)
				continue
			}
			have := &sum.DTypes[at]
			have.Tensors, have.Elements, have.Bytes = have.Tensors+d.Tensors, have.Elements+d.Elements, have.Bytes+d.Bytes
		}
	}
	sum.sort()
	return &sum
}
