package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ckptfs/fs/store"
)

// maxCommand bounds one command, in bytes: no path is that long.
const maxCommand = 64 << 10

// A command is one line that was written to the control file:
//
//	settle
//	housekeep
//	commit [--force] PATH
//	delete PATH VERSION REASON
//	restore [--force] PATH VERSION
//	pin PATH [REASON]
//	unpin PATH
//	shred [--all] VERSION
//	putback [--force] PATH ID
//	drop ID
type command struct {
	verb    string
	flag    bool   // --force, or --all
	path    string // of a checkpoint, or of a file that was held back
	version string
	reason  string
}

// grammar is what follows a verb, in this order.
type grammar struct {
	flag          string // that may come first; "" for none
	path, version bool
	reason        bool // the rest of the line; only a pin has it or not
}

var commands = map[string]grammar{
	"settle":    {},
	"housekeep": {},
	"commit":    {flag: "--force", path: true},
	"delete":    {path: true, version: true, reason: true},
	"restore":   {flag: "--force", path: true, version: true},
	"pin":       {path: true, reason: true},
	"unpin":     {path: true},
	"shred":     {flag: "--all", version: true},
	"putback":   {flag: "--force", path: true, version: true},
	"drop":      {version: true},
}

// parseCommand reads one line of printable text. A path that is more than that,
// or holds spaces, is quoted as in Go.
func parseCommand(line string) (c command, err error) {
	line = strings.TrimSpace(line)
	if err := printable(line); err != nil {
		return c, err
	}
	verb, rest, _ := strings.Cut(line, " ")
	g, known := commands[verb]
	if !known {
		return c, fmt.Errorf("command %q is not known", verb)
	}
	c.verb = verb
	if g.flag != "" {
		rest, c.flag = strings.CutPrefix(rest, g.flag+" ")
	}
	if g.path {
		if c.path, rest, err = word(rest); err != nil {
			return c, err
		}
		if !iofs.ValidPath(c.path) || c.path == "." || strings.ContainsRune(c.path, 0) {
			return c, fmt.Errorf("%q is not a path below the mount", c.path)
		}
	}
	if g.version {
		if c.version, rest, _ = strings.Cut(rest, " "); c.version == "" || c.version[0] == '-' {
			return c, fmt.Errorf("%s wants a version", verb)
		}
	}
	switch {
	case g.reason:
		if c.reason = rest; rest == "" && verb != "pin" {
			return c, fmt.Errorf("%s wants a reason", verb)
		}
	case rest != "":
		return c, fmt.Errorf("%s takes no %q", verb, rest)
	}
	return c, nil
}

func printable(line string) error {
	line = strings.TrimSpace(line)
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("a command is one line of printable text")
	}
	return nil
}

// word takes the first word of a line.
func word(line string) (first, rest string, err error) {
	if !strings.HasPrefix(line, `"`) {
		first, rest, _ = strings.Cut(line, " ")
		return first, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", line, err)
	}
	first, err = strconv.Unquote(quoted)
	return first, strings.TrimPrefix(line[len(quoted):], " "), err
}

// carryOut does what a command says. It may wait for commits.
func (m *mount) carryOut(c command) error {
	switch c.verb {
	case "settle":
		m.store.Settle(context.Background(), nil)
	case "housekeep":
		m.store.Housekeep()
	case "commit":
		return m.store.Commit(c.path, c.flag)
	case "delete":
		return m.store.Delete(c.path, c.version, c.reason)
	case "restore":
		return m.store.Restore(c.path, c.version, c.flag)
	case "pin":
		return m.store.Pin(c.path, c.reason)
	case "unpin":
		return m.store.Unpin(c.path)
	case "shred":
		return m.store.Shred(c.version, c.flag)
	case "putback":
		return m.store.PutBack(c.version, c.path, c.flag)
	case "drop":
		return m.store.DropHeld(c.version)
	}
	return nil
}

// commands reports whether a user may command the daemon: root, the user that it
// runs as, and where that is root the owner of the directory.
func (m *mount) commands(uid uint32) bool { return uid == 0 || uid == m.master() }

// master is who may command the daemon besides root; the control file is his.
func (m *mount) master() uint32 {
	if daemon := m.store.User(); daemon != 0 {
		return daemon
	}
	a, err := m.store.Attr("", store.Ident{})
	if err != nil {
		return 0
	}
	return a.UID
}
