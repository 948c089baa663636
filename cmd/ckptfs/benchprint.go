package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// print writes the table for people.
func (r benchmark) print(out io.Writer) error {
	fmt.Fprintf(out, "%s; fastest of %d rounds\n", r.subject(), r.Rounds)
	table := newTable(out)
	others := r.Sides[2:]
	fmt.Fprint(table, "\tDISK\tMOUNTED\tRATIO\tOF MEDIANS")
	for _, name := range others {
		fmt.Fprintf(table, "\t%s", strings.ToUpper(name))
	}
	fmt.Fprintln(table)
	for _, c := range r.Cases {
		fmt.Fprintln(table, strings.Join(c.row(others), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "ckptfs has %s of memory, and had %s at most.\n", size(r.Memory.Resident), size(r.Memory.Most))
	for _, l := range r.LeftOut {
		fmt.Fprintf(out, "Not measured: %s: %s\n", l.What, l.Why)
	}
	return nil
}

func (r benchmark) subject() string {
	through := "without passthrough"
	if r.Passthrough {
		through = "with passthrough"
	}
	return fmt.Sprintf("A checkpoint of %s, and %s of %d small files; %s", size(r.Size), count(r.Checkpoints, "checkpoint"), len(smallFiles), through)
}

// row is a case as cells: its name, disk, ckptfs, the ratio of the fastest and of
// the medians, and the ratios of the others. A case that the disk does not have
// is told in seconds instead.
func (c caseResult) row(others []string) []string {
	disk, measured := c.side("disk")
	cells := []string{c.Name, "-", "-", "-", "-"}
	if measured {
		cells[1] = c.figure(disk.Fastest)
	}
	if s, ok := c.side("ckptfs"); ok {
		cells[2] = c.figure(s.Fastest)
		if measured {
			cells[3], cells[4] = ratio(s.Ratio), ratio(s.MedianRatio)
		}
	}
	for _, name := range others {
		switch s, ok := c.side(name); {
		case !ok:
			cells = append(cells, "-")
		case measured:
			cells = append(cells, ratio(s.Ratio))
		default:
			cells = append(cells, c.figure(s.Fastest))
		}
	}
	return cells
}

// figure is a time, as throughput where bytes are what counts.
func (c caseResult) figure(seconds float64) string {
	if c.Bytes > 0 {
		return size(int64(c.rate(seconds))) + "/s"
	}
	return duration(seconds)
}

// duration is a time with three digits.
func duration(seconds float64) string {
	name, value := "s", seconds
	switch {
	case seconds < 999.5e-6:
		name, value = "µs", seconds*1e6
	case seconds < 0.9995:
		name, value = "ms", seconds*1e3
	}
	switch {
	case value < 10:
		return fmt.Sprintf("%.2f %s", value, name)
	case value < 100:
		return fmt.Sprintf("%.1f %s", value, name)
	}
	return fmt.Sprintf("%.0f %s", value, name)
}

func ratio(r float64) string { return fmt.Sprintf("%.2f", r) }

// markdown is the table for a document.
func (r benchmark) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s. Fastest of %d rounds; a ratio is the time of the disk to the time of the other.\n\n", r.subject(), r.Rounds)
	fmt.Fprintf(&b, "Measured on %s by ckptfs %s: %s, %d processors (%s), %s of memory, %s. The load of the machine was %s when it began.\n\n",
		m.Date, m.Version, m.Kernel, m.Processors, m.Processor, size(m.Memory), m.Filesystem, m.Load)
	others := r.Sides[2:]
	line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(append([]string{"case", "goal", "disk", "ckptfs", "ratio", "of medians"}, others...)...)
	line(append([]string{"---", "--:", "--:", "--:", "--:", "--:"}, dashes(len(others))...)...)
	for _, c := range r.Cases {
		cells := c.row(others)
		goal := "-"
		if c.Goal > 0 {
			goal = ratio(c.Goal)
		}
		line(append([]string{cells[0], goal}, cells[1:]...)...)
	}
	fmt.Fprintf(&b, "\nIn the end ckptfs had %s of memory, at most %s.\n", size(r.Memory.Resident), size(r.Memory.Most))
	if len(r.LeftOut) > 0 {
		fmt.Fprint(&b, "\nNot measured:\n\n")
	}
	for _, l := range r.LeftOut {
		fmt.Fprintf(&b, "- %s: %s\n", l.What, l.Why)
	}
	return b.String()
}

func dashes(n int) (cells []string) {
	for range n {
		cells = append(cells, "--:")
	}
	return cells
}

// writeInto replaces what is between the marks in a document. The table with
// other file systems has marks of its own.
func (r benchmark) writeInto(file string) error {
	mark := "bench"
	if last := r.Sides[len(r.Sides)-1]; last != "ckptfs" && last != noPassthroughSide {
		mark = "bench-peers"
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := between(string(content), mark, r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// between replaces what stands between <!-- mark --> and <!-- /mark -->.
func between(text, mark, content string) (string, error) {
	open, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->\n"
	before, rest, found := strings.Cut(text, open)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("there is no %q with %q after it", strings.TrimSpace(open), strings.TrimSpace(end))
	}
	return before + open + "\n" + content + "\n" + end + after, nil
}
