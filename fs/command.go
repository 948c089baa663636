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
type command struct {
	verb    string
	path    string // of a checkpoint
	force   bool
	version string
	reason  string
}

// parseCommand reads one line of printable text. A path that is more than that,
// or holds spaces, is quoted as in Go.
func parseCommand(line string) (c command, err error) {
	line = strings.TrimSpace(line)
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return c, errors.New("a command is one line of printable text")
	}
	verb, rest, _ := strings.Cut(line, " ")
	c.verb = verb
	switch verb {
	case "settle", "housekeep":
		if rest != "" {
			return c, fmt.Errorf("%s takes nothing", verb)
		}
		return c, nil
	case "commit":
		rest, c.force = strings.CutPrefix(rest, "--force ")
		if c.path, rest, err = word(rest); err == nil && rest != "" {
			err = errors.New("commit takes one path")
		}
	case "delete":
		c.path, rest, err = word(rest)
		c.version, c.reason, _ = strings.Cut(rest, " ")
		if err == nil && (c.version == "" || c.reason == "") {
			err = errors.New("delete wants a path, a version and a reason")
		}
	default:
		return c, fmt.Errorf("command %q is not known", verb)
	}
	if err == nil && (!iofs.ValidPath(c.path) || c.path == "." || strings.ContainsRune(c.path, 0)) {
		err = fmt.Errorf("%q is not a path below the mount", c.path)
	}
	return c, err
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
		return m.store.Commit(c.path, c.force)
	case "delete":
		return m.store.Delete(c.path, c.version, c.reason)
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
