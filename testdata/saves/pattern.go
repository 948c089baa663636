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

// The ways in which those trainers do it whose checkpoints lie in the run itself.
const (
	FileOverwrite = "file-overwrite" // one file, written over the old one
	FileRename    = "file-rename"    // one file, written beside and renamed over the old one
	Group         = "group"          // two files, one after the other
)

// Patterns are all of them.
var Patterns = []string{InPlaceNew, Overwrite, TmpRename, RenameAside, Rmtree, FileOverwrite, FileRename, Group}

// HasGap reports whether a pattern deletes the old checkpoint before the new one
// is there: the trainer itself leaves nothing under the name for a while.
func HasGap(pattern string) bool { return pattern == TmpRename || pattern == Rmtree }

// ByRename reports whether a save ends with a rename, and not with a close.
func ByRename(pattern string) bool {
	return pattern == TmpRename || pattern == RenameAside || pattern == FileRename
}

// Spread reports whether the files of a checkpoint lie in the run itself. They
// have a layout of their own: see Layouts.
func Spread(pattern string) bool {
	return pattern == FileOverwrite || pattern == FileRename || pattern == Group
}

const (
	last      = "last_checkpoint"
	lastFile  = "last.pth"
	lastGroup = "state"
)

// Target is the name that a save goes to; a token is a number.
func Target(pattern, token string) string {
	switch pattern {
	case InPlaceNew:
		n, err := strconv.Atoi(token)
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf("checkpoint_epoch%d_step1", n)
	case FileOverwrite, FileRename:
		return lastFile
	case Group:
		return lastGroup
	}
	return last
}

// Dir is the directory, seen from the run, that the files of a save lie in at last.
func Dir(pattern, token string) string {
	if Spread(pattern) {
		return "."
	}
	return Target(pattern, token)
}

// Save saves once in a pattern.
func Save(dir, pattern, token string, pad int) error {
	return SaveBy(dir, pattern, token, func(dir string) error { return WriteFiles(dir, Written(pattern, token, pad)) })
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
	case FileOverwrite, Group:
		return write(dir)
	case FileRename:
		if err := write(dir); err != nil {
			return err
		}
		return os.Rename(final+beside, final)
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

// Write writes the files of a checkpoint that is a directory, in the trainer's
// order and in pieces.
func Write(dir, token string, pad int) error {
	return WriteFiles(dir, Written(Overwrite, token, pad))
}

// WriteFiles does so for any files.
func WriteFiles(dir string, files []File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		f, err := os.Create(filepath.Join(dir, file.Name))
		if err != nil {
			return err
		}
		for content := file.Content; len(content) > 0; {
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
