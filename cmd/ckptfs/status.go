package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
)

type statusOptions struct {
	askOptions
	watch bool
}

func newStatusCommand() *cobra.Command {
	var opts statusOptions
	cmd := &cobra.Command{
		Use:   "status [PATH]",
		Short: "Show mounts, runs, views, open saves and space",
		Long: `Show mounts, runs, what each view shows, open saves with what they lack, and space.
Without PATH it is about the working directory where that is mounted or has been,
else about every mount.`,
		Example: `  ckptfs status
  ckptfs status --watch checkpoints/codebert`,
		Args: operands(0, 1, "at most one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.watch && opts.json {
				return usageError("--watch is for people and --json for programs; give one of them")
			}
			if opts.watch {
				return watchStatus(cmd.Context(), cmd.OutOrStdout(), opts, args)
			}
			return runStatus(cmd.OutOrStdout(), opts, args)
		},
	}
	opts.addFlags(cmd)
	cmd.Flags().BoolVarP(&opts.watch, "watch", "w", false, "show it again every second, until interrupted")
	return cmd
}

// status is `status --json`.
type status struct {
	store.StatusReport
	Space space `json:"space"`
}

// space is what the file system has, in bytes. In a mount what trash and
// history could give back counts as free.
type space struct {
	Free  int64 `json:"free"`
	Total int64 `json:"total"`
}

func runStatus(out io.Writer, opts statusOptions, args []string) error {
	targets, err := statusTargets(args)
	if err != nil {
		return err
	}
	var failed []error
	for i, t := range targets {
		st, err := statusOf(t, opts.config)
		switch {
		case err != nil: // the mount of another user, say; the others still answer
			failed = append(failed, err)
		case opts.json:
			if err := writeJSON(out, st); err != nil {
				return err
			}
		default:
			if i > 0 {
				fmt.Fprintln(out)
			}
			printStatus(out, st)
		}
	}
	return errors.Join(failed...)
}

// statusTargets are what a status without PATH is about.
func statusTargets(args []string) ([]target, error) {
	here, err := findTarget(operand(args))
	if err != nil || len(args) == 1 || here.isMounted() {
		return []target{here}, err
	}
	list, err := mounted()
	if err != nil {
		return nil, err
	}
	var targets []target
	for _, m := range list {
		if m.ours() {
			targets = append(targets, target{mount: m, root: m.point, sub: "."})
		}
	}
	if len(targets) == 0 || hasPrivate(here.root) {
		return []target{here}, nil
	}
	return targets, nil
}

func statusOf(t target, config string) (status, error) {
	if t.isMounted() {
		if err := t.mount.healthy(); err != nil {
			return status{}, err
		}
	}
	src, err := look(t, config)
	if err != nil {
		return status{}, err
	}
	defer src.Close() // it was only read
	rep, err := src.Status()
	if err != nil {
		return status{}, err
	}
	rep.Runs = slices.DeleteFunc(rep.Runs, func(r store.RunStatus) bool { return !t.holds(r.Path) })
	st := status{StatusReport: rep}
	st.Space, err = spaceOf(t.root)
	return st, err
}

func spaceOf(dir string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return space{}, fmt.Errorf("space of %s: %w", dir, err)
	}
	return space{Free: int64(st.Bavail) * st.Bsize, Total: int64(st.Blocks) * st.Bsize}, nil
}

func printStatus(out io.Writer, st status) {
	table := newTable(out)
	if st.Mountpoint != "" {
		fmt.Fprintf(table, "mounted\t%s, by process %d\n", st.Mountpoint, st.PID)
		fmt.Fprintf(table, "data\t%s\n", dataPath(st.Passthrough))
	} else {
		fmt.Fprintf(table, "mounted\tno; mount it with: ckptfs mount %s\n", st.Backing)
	}
	fmt.Fprintf(table, "backing\t%s\n", st.Backing)
	fmt.Fprintf(table, "space\t%s free of %s; trash %s (%s), quarantine %s (%s)\n", size(st.Space.Free), size(st.Space.Total),
		count(st.Trash.Entries, "item"), size(st.Trash.Bytes), count(st.Quarantine.Entries, "file"), size(st.Quarantine.Bytes))
	if st.Mountpoint != "" {
		fmt.Fprintf(table, "so far\t%s, %d pruned\n", count(int(st.Commits), "commit"), st.Pruned)
	}
	if st.Scrub != nil {
		fmt.Fprintf(table, "scrub\t%s\n", scrubWords(st.Scrub, time.Now()))
	}
	if st.UnknownEnds > 0 {
		fmt.Fprintf(table, "warning\t%s closed by a process of which nothing could be learned\n", count(int(st.UnknownEnds), "file"))
	}
	for _, h := range st.Hanging {
		fmt.Fprintf(table, "note\t%s\n", h.Words())
	}
	if st.Unwatched != "" {
		fmt.Fprintf(table, "note\t%s\n", st.Unwatched)
	}
	for _, r := range st.Runs {
		if r.Layout == "" && len(st.Runs) > 1 && len(r.Saves) == 0 {
			continue // the root, above the runs
		}
		printRun(table, r)
	}
	table.Flush() // a failed write to a terminal has nobody to tell
}

// scrubWords says when everything was read the last time, and what was found.
func scrubWords(s *store.ScrubStatus, now time.Time) string {
	var words []string
	switch {
	case s.Running && s.Waiting:
		words = append(words, "waits for a save")
	case s.Running:
		words = append(words, fmt.Sprintf("under way, %s of %s", size(s.BytesDone), size(s.BytesTotal)))
	}
	switch {
	case s.Ended == nil:
		words = append(words, "not done yet")
	case len(s.Damaged) > 0:
		words = append(words, fmt.Sprintf("%s ago %d of %s damaged", age(s.Ended, now), len(s.Damaged), count(s.Checkpoints, "checkpoint")))
	default:
		words = append(words, fmt.Sprintf("%s ago %s, %s: nothing was damaged", age(s.Ended, now), count(s.Checkpoints, "checkpoint"), size(s.Bytes)))
	}
	if s.Next != nil {
		words = append(words, "next "+strings.TrimSpace(humanize.RelTime(*s.Next, now, "ago", "from now")))
	}
	return strings.Join(words, "; ")
}

func dataPath(passthrough bool) string {
	if passthrough {
		return "passes straight to the backing file system (passthrough)"
	}
	return "passes through ckptfs; as root on Linux 6.9 and later it need not"
}

func printRun(table io.Writer, r store.RunStatus) {
	layout := r.Layout
	if layout == "" {
		layout = "no checkpoints yet"
	} else if r.Why != "" {
		layout += " (" + r.Why + ")"
	}
	fmt.Fprintf(table, "\nrun\t%s\n", r.Path)
	fmt.Fprintf(table, "  layout\t%s\n", layout)
	for _, view := range slices.Sorted(maps.Keys(r.Views)) {
		fmt.Fprintf(table, "  %s/\t%s\n", view, r.Views[view])
	}
	for _, s := range r.Saves {
		line := fmt.Sprintf("%s: %s, %s, %s", s.Name, s.State, size(s.Bytes), count(s.Writers, "writer"))
		if len(s.Missing) > 0 {
			line += "; waits for: " + store.Words(s.Missing)
		}
		fmt.Fprintf(table, "  save\t%s\n", line)
	}
	fmt.Fprintf(table, "  policy\t%s\n", r.Policy)
	for _, hint := range r.Hints {
		fmt.Fprintf(table, "  hint\t%s\n", hint)
	}
}

// watchStatus shows the status until it is interrupted, which is its end and no
// failure.
func watchStatus(ctx context.Context, out io.Writer, opts statusOptions, args []string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if isTerminal(out) {
			fmt.Fprint(out, "\x1b[H\x1b[2J") // home, clear
		}
		if err := runStatus(out, opts, args); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
