package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ckptfs/fs"
	"ckptfs/fs/store"
)

// Verify implements source: the daemon reads, for nobody else reaches what lies
// beneath the mount, and this process listens.
func (d daemon) Verify(ctx context.Context, o store.VerifyOptions) (store.VerifyReport, error) {
	none := store.VerifyReport{}
	f, err := os.OpenFile(d.file("verify"), os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrPermission):
		return none, fmt.Errorf("verify: only root, and the owner of %s or who mounted it, may do that", string(d))
	case errors.Is(err, unix.EROFS):
		return none, fmt.Errorf("verify: %s is mounted read-only, and cannot be asked; unmount it, and verify the directory itself", string(d))
	case errors.Is(err, os.ErrNotExist):
		return none, fmt.Errorf("verify: the ckptfs that has mounted %s is an older one; unmount it, and mount it again", string(d))
	case err != nil:
		return none, fmt.Errorf("verify: %w", err)
	}
	defer f.Close() // that ends it, if it has not ended
	if _, err := f.WriteString(verifyRequest(o) + "\n"); err != nil {
		if reason := d.refusal(); reason != "" && errors.Is(err, unix.EINVAL) {
			return none, refusedError("%s", reason)
		}
		return none, fmt.Errorf("verify: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _, _ = f.WriteString("stop\n") })() // its report tells what was done
	return listen(f, o.Progress)
}

func verifyRequest(o store.VerifyOptions) string {
	words := []string{"verify"}
	for _, flag := range []struct {
		word string
		set  bool
	}{{"--deep", o.Deep}, {"--history", o.History}, {"--trash", o.Trash}, {"--again", o.Again}} {
		if flag.set {
			words = append(words, flag.word)
		}
	}
	path := o.Path
	if path == "" {
		path = "."
	}
	return strings.Join(append(words, strconv.Quote(path)), " ")
}

// listen reads what the daemon tells until its report.
func listen(f *os.File, progress func(store.VerifyProgress)) (store.VerifyReport, error) {
	lines := json.NewDecoder(bufio.NewReader(f))
	for {
		var line fs.VerifyLine
		if err := lines.Decode(&line); err != nil {
			return store.VerifyReport{}, fmt.Errorf("verify: the ckptfs at work has ended before it was done: %w", err)
		}
		if line.Progress != nil && progress != nil {
			progress(*line.Progress)
		}
		if line.Report != nil {
			var err error
			if line.Error != "" {
				err = errors.New(line.Error)
			}
			return *line.Report, err
		}
	}
}
