package fs

import (
	"strconv"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]command{
		"settle\n":                           {verb: "settle"},
		"housekeep":                          {verb: "housekeep"},
		"commit last_checkpoint\n":           {verb: "commit", path: "last_checkpoint"},
		"commit --force run/last_checkpoint": {verb: "commit", path: "run/last_checkpoint", force: true},
		`commit "a \"run\"/last\n"`:          {verb: "commit", path: "a \"run\"/last\n"},
		"delete a/b 20261125T10 too old, and in the way": {
			verb: "delete", path: "a/b", version: "20261125T10", reason: "too old, and in the way",
		},
	} {
		if got, err := parseCommand(line); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"", "\n", "sync", "settle now", "housekeep now", "commit", "commit a b", "commit ..", "commit /etc", "commit a/../b", "commit .", `commit ""`, `commit "a`,
		`commit "a\x00b"`, "commit a\x00b", "commit a\nsettle", "delete a", "delete a v", "delete a  why", "delete ../a v why", "settle\x1b[2J",
		"delete a v \xff", "commit " + strings.Repeat("../", 1000) + "etc",
	} {
		if c, err := parseCommand(line); err == nil {
			t.Errorf("%q is accepted as %+v", line, c)
		}
	}
}

// FuzzCommand: what is accepted names a path below the mount, and can be said
// again with the same meaning.
func FuzzCommand(f *testing.F) {
	for _, line := range []string{"settle", "commit a", "commit --force a/b", `delete "a b" v why`, "commit ../a", "delete a v", `commit "\x2e\x2e"`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseCommand(line)
		if err != nil {
			return
		}
		for part := range strings.SplitSeq(c.path, "/") {
			if c.path != "" && (part == "" || part == "." || part == "..") {
				t.Errorf("%q leads to %q", line, c.path)
			}
		}
		again := c.verb
		if c.force {
			again += " --force"
		}
		if c.path != "" {
			again += " " + strconv.Quote(c.path)
		}
		if c.verb == "delete" {
			again += " " + c.version + " " + c.reason
		}
		if got, err := parseCommand(again); err != nil || got != c {
			t.Errorf("%q is %+v, %q is %+v, %v", line, c, again, got, err)
		}
	})
}
