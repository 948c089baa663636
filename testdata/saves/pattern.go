package saves

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// The ways in which the guide's trainer and its relatives replace a checkpoint.
const (
	InPlaceNew  = "in-place-new" // a new name for every save
	Overwrite   = "overwrite"    // its files, one after the other
	TmpRename   = "tmp-rename"   // written beside, the old one removed, renamed
	RenameAside = "rename-aside" // written beside, the old one renamed aside, renamed, the old one removed
	Rmtree      = "rmtree"       // the old one removed, then written
)

// Patterns are all of them.
var Patterns = []string{InPlaceNew, Overwrite, TmpRename, RenameAside, Rmtree}

// HasGap reports whether a pattern deletes the old checkpoint before the new one
// is there: the trainer itself leaves nothing under the name for a while.
func HasGap(pattern string) bool { return pattern == TmpRename || pattern == Rmtree }

const last = "last_checkpoint"

// Target is the name that a save goes to; a token is a number.
func Target(pattern, token string) string {
	if pattern == InPlaceNew {
		n, err := strconv.Atoi(token)
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf("checkpoint_epoch%d_step1", n)
	}
	return last
}

// Save saves once in a pattern.
func Save(dir, pattern, token string, pad int) error {
	return SaveBy(dir, pattern, token, func(dir string) error { return Write(dir, token, pad) })
}

// SaveBy saves once in a pattern; write makes the files in a directory, which
// may be there.
func SaveBy(dir, pattern, token string, write func(dir string) error) error {
	final := filepath.Join(dir, Target(pattern, token))
	tmp := filepath.Join(dir, ".tmp_"+last+"_abcdefgh")
	backup := filepath.Join(dir, ".backup_"+last)
	switch pattern {
	case InPlaceNew, Overwrite:
		return write(final)
	case Rmtree:
		if err := os.RemoveAll(final); err != nil {
			return err
		}
		return write(final)
	}
	// As the trainer does at its start, and before each save.
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := write(tmp); err != nil {
		return err
	}
	if _, err := os.Lstat(final); err == nil {
		if pattern == TmpRename {
			if err := os.RemoveAll(final); err != nil {
				return err
			}
			return os.Rename(tmp, final)
		}
		if err := os.RemoveAll(backup); err != nil {
			return err
		}
		if err := os.Rename(final, backup); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return os.RemoveAll(backup)
}

// Write writes the files of a save into a directory, in the trainer's order and
// in pieces.
func Write(dir, token string, pad int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := Content(token, pad)
	for _, name := range Files {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for content := files[name]; len(content) > 0; {
			n := min(len(content), 256<<10)
			if _, err := f.Write(content[:n]); err != nil {
				f.Close()
				return err
			}
			content = content[n:]
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
