package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

type mountOptions struct {
	config     string
	layout     string
	log        string
	foreground bool
	allowOther bool
	readOnly   bool
	strict     bool
	debug      bool
	daemonData bool     // all data goes through the daemon
	pprof      string   // where profiles of the daemon go
	kernel     []string // of -o, for the kernel
	ready      int      // where the parent waits for word, 0 when there is no parent
}

const mountHelp = `Mount over DIR itself, or show DIR at MOUNTPOINT. It returns when the mount can be
used; the file system runs in the background until it is unmounted. Save as before:
what the real names show is the trainer's own view, and latest/, resume/, best/,
by-epoch/ and by-step/ show whole checkpoints only.

With -o, as from mount(8) or /etc/fstab: ro, allow_other, config=, layout=, log=,
[no]suid, [no]dev, [no]exec.`

func newMountCommand() *cobra.Command {
	var opts mountOptions
	var lists []string
	cmd := &cobra.Command{
		Use:   "mount DIR [MOUNTPOINT]",
		Short: "Mount over a checkpoint directory",
		Long:  mountHelp,
		Example: `  ckptfs mount checkpoints/codebert
  ckptfs mount --read-only /archive/codebert /mnt/codebert`,
		Args: operands(1, 2, "DIR and at most one MOUNTPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.applyOptions(lists); err != nil {
				return err
			}
			return runMount(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, args)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&opts.foreground, "foreground", "f", false, "stay in the foreground and log to stderr")
	f.StringVar(&opts.config, "config", "", "read the configuration from `FILE` (default "+configName+" in DIR)")
	f.StringVar(&opts.layout, "layout", "", "the trainer whose names the checkpoints have, by `NAME` (default: detected)")
	f.BoolVar(&opts.allowOther, "allow-other", false, "let other users, and root, use the mount")
	f.BoolVar(&opts.readOnly, "read-only", false, "show the directory and its views, and change nothing")
	f.BoolVar(&opts.strict, "strict", false, "refuse while other processes are at work beneath the mount")
	f.StringVar(&opts.log, "log", "", "log to `FILE` (default .ckptfs/log in DIR)")
	f.StringArrayVarP(&lists, "options", "o", nil, "`OPT,OPT` as from mount(8)")
	f.BoolVar(&opts.daemonData, "no-passthrough", false, "move all data through ckptfs, as for users who are not root")
	f.BoolVar(&opts.debug, "debug", false, "log every request")
	f.StringVar(&opts.pprof, "pprof", "", "write a profile to `FILE`, or serve profiles at localhost:PORT")
	f.MarkHidden("pprof") // as below
	f.IntVar(&opts.ready, "ready-fd", 0, "say on this descriptor how the mount went")
	f.MarkHidden("ready-fd") // fails only for a flag that there is not
	return cmd
}

// request is what to mount, with everything worked out.
type request struct {
	mountOptions
	dir   string // absolute, without symbolic links
	point string // the same; dir itself when it is mounted over
	cfg   policy.Config
}

func runMount(ctx context.Context, out, notes io.Writer, opts mountOptions, args []string) error {
	if opts.ready != 0 {
		return serveFor(opts, args)
	}
	req, err := preflight(opts, args, notes)
	if err != nil {
		return err
	}
	if err := beneath(req, notes); err != nil {
		return err
	}
	if opts.foreground {
		return serve(req, notes, func() { fmt.Fprintf(notes, "ckptfs: %s is mounted\n", req.point) })
	}
	if err := startDaemon(ctx); err != nil {
		return err
	}
	return welcome(out, req)
}

// beneath is about the processes that are at work in the directory that is
// about to be covered: they go on there, and what they write is no save.
func beneath(req request, notes io.Writer) error {
	others := holders(req.dir, anyMount)
	if len(others) == 0 {
		return nil
	}
	if req.strict {
		return refusedError("%s is in use, and --strict is given: %s", req.dir, others[0])
	}
	for _, h := range others {
		fmt.Fprintf(notes, "ckptfs: note: %s; it goes on beneath the mount until it opens the path again\n", h)
	}
	return nil
}

// welcomes is of how many runs a mount tells what their views show.
const welcomes = 10

// welcome says what has become of the directory, and how to stop.
func welcome(out io.Writer, req request) error {
	runs, err := daemon(req.point).Explain()
	if err != nil {
		return err
	}
	names := []string{req.cfg.Views.Latest, req.cfg.Views.Resume, req.cfg.Views.Best}
	runs = slices.DeleteFunc(runs, func(r store.ExplainReport) bool {
		return !slices.ContainsFunc(names, func(view string) bool { return r.Views[view].Target != nil })
	})
	fmt.Fprintf(out, "%s is mounted.\n", req.point)
	table := newTable(out)
	for _, r := range runs[:min(welcomes, len(runs))] {
		run := ""
		if r.Path != "." {
			run = r.Path + "/"
		}
		for _, view := range names {
			if target := r.Views[view].Target; target != nil {
				fmt.Fprintf(table, "  %s%s/\t%s\n", run, view, *target)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := len(runs) - welcomes; more > 0 {
		fmt.Fprintf(out, "  and %d more runs: ckptfs status %s\n", more, req.point)
	}
	fmt.Fprintf(out, "%s\n", req.cfg.Retention)
	_, err = fmt.Fprintf(out, "To stop: ckptfs umount %s\n", req.point)
	return err
}
