package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"ckptfs/fs/store"
)

// control gives the daemon one command and returns when it has been carried
// out. A refusal is one write that fails with an errno; the reason is the last
// event that the daemon has noted about its control file.
func (d daemon) control(words ...string) error {
	command := strings.TrimSpace(strings.Join(words, " ")) // a reason may be empty
	f, err := os.OpenFile(d.file("control"), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: only root, and the owner of %s or who mounted it, may do that", command, string(d))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	defer f.Close() // the write has answered
	if _, err := f.WriteString(command + "\n"); err != nil {
		if reason := d.refusal(); reason != "" {
			return refusedError("%s", reason)
		}
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// refusal is why the last command was refused, "" when the daemon does not say.
func (d daemon) refusal() string {
	b, err := d.read("events")
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		var e store.Event
		if json.Unmarshal(lines[i], &e) == nil && e.What == "control" {
			return e.Reason
		}
	}
	return ""
}

// word is a path as one word of a command.
func word(path string) string {
	if strings.ContainsAny(path, " \"\n") {
		return strconv.Quote(path)
	}
	return path
}

// Delete implements source.
func (d daemon) Delete(path, version, why string) error {
	return d.control("delete", word(path), version, why)
}

// Commit implements source.
func (d daemon) Commit(path string, force bool) error {
	return d.control(flagged("commit", "--force", force), word(path))
}

// Restore implements source.
func (d daemon) Restore(path, version string, force bool) error {
	return d.control(flagged("restore", "--force", force), word(path), version)
}

// Pin implements source.
func (d daemon) Pin(path, why string) error { return d.control("pin", word(path), why) }

// Unpin implements source.
func (d daemon) Unpin(path string) error { return d.control("unpin", word(path)) }

// Shred implements source.
func (d daemon) Shred(version string, all bool) error {
	return d.control(flagged("shred", "--all", all), version)
}

// PutBack implements source.
func (d daemon) PutBack(id, path string, force bool) error {
	return d.control(flagged("putback", "--force", force), word(path), id)
}

// DropHeld implements source.
func (d daemon) DropHeld(id string) error { return d.control("drop", id) }

// flagged is a verb with its flag, where that is given.
func flagged(verb, flag string, given bool) string {
	if given {
		return verb + " " + flag
	}
	return verb
}
