package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"ckptfs/layout"
)

func printInspection(out io.Writer, doc inspection) error {
	for i, c := range doc.Checkpoints {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := printCheckpoint(out, c); err != nil {
			return err
		}
	}
	if len(doc.Checkpoints) < 2 {
		return nil
	}
	return printDifferences(out, doc)
}

func printCheckpoint(out io.Writer, c inspected) error {
	name := c.Path
	if clean := strings.TrimRight(c.Path, "/"); clean != c.Name && !strings.HasSuffix(clean, "/"+c.Name) {
		name += " is " + c.Name
	}
	state := string(c.State)
	if c.Reason != "" {
		state += ": " + c.Reason
	}
	facts := newTable(out)
	fmt.Fprintf(out, "%s\n", name)
	if c.Kind == "" {
		fmt.Fprintf(facts, "  kind\ta copy, of %s\n", c.Layout)
	} else {
		fmt.Fprintf(facts, "  kind\t%s of %s, %s\n", c.Kind, c.Layout, state)
	}
	fmt.Fprintf(facts, "  progress\t%s\n", c.Resuming)
	if c.GlobalStep != nil && c.Step != nil { // else it is the progress
		fmt.Fprintf(facts, "  step\t%d of the run\n", *c.GlobalStep)
	}
	fmt.Fprintf(facts, "  metrics\t%s\n", metricsInWords(c.Metrics))
	fmt.Fprintf(facts, "  state\t%s\n", statesInWords(c.States))
	fmt.Fprintf(facts, "  tensors\t%s\n", c.Tensors.words(c.States[layout.Optimizer]))
	fmt.Fprintf(facts, "  size\t%s in %s\n", size(c.Size), count(len(c.Files), "file"))
	for _, missing := range c.Missing {
		fmt.Fprintf(facts, "  missing\t%s\n", missing)
	}
	for _, problem := range c.Problems {
		fmt.Fprintf(facts, "  damaged\t%s\n", problem)
	}
	if err := facts.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	files := newTable(out)
	fmt.Fprintln(files, "  FILE\tFORMAT\tSIZE\tTENSORS\tPARAMETERS\tDTYPES")
	for _, f := range c.Files {
		number, parameters, dtypes := "-", "-", "-"
		if f.Tensors != nil && f.Tensors.Count > 0 {
			number, parameters, dtypes = fmt.Sprint(f.Tensors.Count), humanize.Comma(f.Tensors.Elements), f.Tensors.names()
		}
		fmt.Fprintf(files, "  %s\t%s\t%s\t%s\t%s\t%s\n", f.Path, f.Format, size(f.Size), number, parameters, dtypes)
	}
	return files.Flush()
}

func metricsInWords(metrics map[string]float64) string {
	if len(metrics) == 0 {
		return "none"
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		all = append(all, name+" "+metric(metrics[name]))
	}
	return strings.Join(all, ", ")
}

func metric(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// statesInWords names what is there, and what is not.
func statesInWords(states map[string]bool) string {
	var there, not []string
	for _, state := range layout.States {
		word := state
		if state == layout.Random {
			word = "random numbers"
		}
		if states[state] {
			there = append(there, word)
		} else {
			not = append(not, word)
		}
	}
	if len(there) == 0 {
		return "none: no " + strings.Join(not, ", no ")
	}
	words := strings.Join(there, ", ")
	if len(not) > 0 {
		words += "; no " + strings.Join(not, ", no ")
	}
	return words
}

// words are the tensors in a line: how many, of what, how large. What an
// optimizer keeps counts too: it is in the files.
func (t *tensors) words(optimizer bool) string {
	if t == nil {
		return "the formats of its files do not tell"
	}
	words := fmt.Sprintf("%s, %s parameters", count(t.Count, "tensor"), humanize.Comma(t.Elements))
	if optimizer {
		words += " with those of the optimizer"
	}
	for i, d := range t.DTypes {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		words += fmt.Sprintf("%s%s %s", separator, d.Name, size(d.Bytes))
	}
	return words
}

func (t *tensors) names() string {
	var all []string
	for _, d := range t.DTypes {
		all = append(all, d.Name)
	}
	return strings.Join(all, " ")
}

func printDifferences(out io.Writer, doc inspection) error {
	if len(doc.Differences) == 0 {
		_, err := fmt.Fprintf(out, "\nThey do not differ in anything that is listed; what the tensors hold was not compared.\n")
		return err
	}
	fmt.Fprintln(out)
	table := newTable(out)
	fmt.Fprintf(table, "DIFFERENT\t%s\t%s\n", doc.Checkpoints[0].Path, doc.Checkpoints[1].Path)
	for _, d := range doc.Differences {
		fmt.Fprintf(table, "%s\t%s\t%s\n", d.What, d.A, d.B)
	}
	return table.Flush()
}
