package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store/backup"
	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

type backupOptions struct {
	askOptions
	keep int
}

func newBackupCommand() *cobra.Command {
	var opts backupOptions
	cmd := &cobra.Command{
		Use:   "backup PATH NAME-or-VIEW DEST",
		Short: "Copy one version of a checkpoint to another directory, verified",
		Long: `Copy one version of a checkpoint (or what a view resolves to, or NAME@VERSION) into
the directory DEST, as NAME-TIME, where TIME is that of its commit. While it is
copied it is compared with the hashes of its commit; it gets its name when it is
whole and durable. Interrupted, the same command goes on where it was. The version
stays what it is while the trainer saves the next.`,
		Example: `  ckptfs backup checkpoints/codebert best ~/backups
  ckptfs backup --keep 3 checkpoints/codebert last_checkpoint ~/backups`,
		Args: operands(3, 3, "a PATH, the NAME of a checkpoint or view, and a DEST directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("keep") && opts.keep < 1 {
				return usageError("--keep %d: give the number of backups to keep, at least 1", opts.keep)
			}
			return runBackup(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts, args[0], args[1], args[2])
		},
	}
	opts.addFlags(cmd)
	cmd.Flags().IntVar(&opts.keep, "keep", 0, "keep only the newest `N` backups of this run and kind in DEST; nothing else there is ever deleted")
	return cmd
}

// backedUp is `backup --json`.
type backedUp struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Path    string   `json:"path"` // of the copy
	Size    int64    `json:"size"`
	Already bool     `json:"already"` // it was there, and is whole
	Hashed  bool     `json:"hashed"`  // every file was compared with the hash of its commit
	Removed []string `json:"removed"`
}

func runBackup(ctx context.Context, out, notes io.Writer, opts backupOptions, dir, arg, dest string) error {
	src, t, err := lookAt(dir, opts.config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	version, n, err := chooseVersion(src, t, arg)
	if err != nil {
		return err
	}
	defer version.Close()
	to, err := openDestination(dest)
	if err != nil {
		return err
	}
	defer to.Close()
	run, err := runOf(src, t, n)
	if err != nil {
		return err
	}
	p := newProgress(notes, "Copying "+n.name)
	res, err := backup.Run(ctx, backup.Source{Tree: version, Manifest: version.Manifest, Run: run}, to, backup.Options{
		Keep: opts.keep, Now: time.Now(), Progress: p.at,
		Note: func(format string, a ...any) { p.clear(); fmt.Fprintf(notes, "Note: "+format+".\n", a...) },
	})
	p.clear()
	switch {
	case errors.Is(err, context.Canceled):
		return &coded{exitInterrupted, errors.New("interrupted; the same command goes on where it was")}
	case errors.Is(err, backup.ErrDamaged):
		return damageError("%w; nothing was backed up", err)
	case errors.Is(err, unix.ESTALE):
		return nothingError("version %s of %s was deleted while it was copied", version.ID, n.name)
	case err != nil:
		return fmt.Errorf("back up %s to %s: %w", n.name, dest, err)
	}
	doc := backedUp{n.name, version.ID, filepath.Join(dest, res.Entry), res.Size, res.Already, res.Proven, append([]string{}, res.Removed...)}
	if opts.json {
		return writeJSON(out, doc)
	}
	return tellBackedUp(out, doc, res, version)
}

func tellBackedUp(out io.Writer, doc backedUp, res backup.Result, v *openVersion) error {
	if doc.Already {
		fmt.Fprintf(out, "%s is a backup of this version of %s already, and is whole.\n", doc.Path, doc.Name)
	} else {
		proof := "every file is what was hashed at its commit"
		if !doc.Hashed {
			proof = "the structure and the checksums of every file are right"
		}
		fmt.Fprintf(out, "%s is backed up as %s: %s, %s; %s.\n", doc.Name, doc.Path, count(len(v.Files), "file"), size(doc.Size), proof)
	}
	if res.Resumed > 0 {
		fmt.Fprintf(out, "%s of it were there from an earlier attempt.\n", size(res.Resumed))
	}
	for _, entry := range doc.Removed {
		fmt.Fprintf(out, "Removed %s, which --keep does not keep.\n", filepath.Join(filepath.Dir(doc.Path), entry))
	}
	return nil
}

// chooseVersion opens the version that NAME, NAME@VERSION or a view means.
func chooseVersion(src source, t target, arg string) (*openVersion, namedCheckpoint, error) {
	n, id, err := findVersioned(src, t, arg)
	if err != nil {
		return nil, n, err
	}
	row := n.live()
	if id != "" {
		if row, err = pick(n.rows, id); err != nil {
			return nil, n, err
		}
		if row == nil {
			return nil, n, nothingError("%s has no version %s; see ckptfs history %s %s", n.name, id, t.given(), n.given(t))
		}
	}
	switch {
	case row == nil:
		return nil, n, nothingError("nothing is committed under %s; ckptfs restore %s %s takes a deleted version back", n.name, t.given(), n.given(t))
	case row.Version == "" || row.State != policy.Committed && !earlierState(row.State):
		return nil, n, nothingError("%s is %s and not committed: %s", n.name, row.State, row.Reason)
	}
	v, err := src.OpenVersion(row.Version)
	return v, n, err
}

// openDestination opens DEST, made if only its last part is missing: a path whose
// parent is not there is more likely a disk that is not mounted.
func openDestination(dest string) (*disk.Root, error) {
	if err := os.Mkdir(dest, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make the directory for backups: %w", err)
	}
	return disk.OpenRoot(dest)
}

// runOf is what tells the backups of a run from those of others: its path, where
// nothing is mounted.
func runOf(src source, t target, n namedCheckpoint) (string, error) {
	root := t.root
	if t.isMounted() {
		rep, err := src.Status()
		if err != nil {
			return "", err
		}
		root = rep.Backing
	}
	return filepath.Join(root, strings.TrimPrefix(n.run, "./")), nil
}
