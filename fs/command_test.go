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
		"commit --force run/last_checkpoint": {verb: "commit", path: "run/last_checkpoint", flag: true},
		`commit "a \"run\"/last\n"`:          {verb: "commit", path: "a \"run\"/last\n"},
		"delete a/b 20261125T10 too old, and in the way": {
			verb: "delete", path: "a/b", version: "20261125T10", reason: "too old, and in the way",
		},
		"restore a/b 20261125T10":         {verb: "restore", path: "a/b", version: "20261125T10"},
		"restore --force a/b 20261125T10": {verb: "restore", path: "a/b", version: "20261125T10", flag: true},
		"pin a/b":                         {verb: "pin", path: "a/b"},
		`pin "a b" for the paper`:         {verb: "pin", path: "a b", reason: "for the paper"},
		"unpin a/b":                       {verb: "unpin", path: "a/b"},
		"shred 20261125T10":               {verb: "shred", version: "20261125T10"},
		"shred --all 20261125T10":         {verb: "shred", version: "20261125T10", flag: true},
		"putback a/config.json 20261125":  {verb: "putback", path: "a/config.json", version: "20261125"},
		"drop 20261125T10":                {verb: "drop", version: "20261125T10"},
	} {
		if got, err := parseCommand(line); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"", "\n", "sync", "settle now", "housekeep now", "commit", "commit a b", "commit ..", "commit /etc", "commit a/../b", "commit .", `commit ""`, `commit "a`,
		`commit "a\x00b"`, "commit a\x00b", "commit a\nsettle", "delete a", "delete a v", "delete a  why", "delete ../a v why", "settle\x1b[2J",
		"restore a", "restore --force a", "restore --all a v", "restore ../a v", "restore a v w", "pin", "pin ..", "unpin", "unpin a why", "shred", "shred --all",
		"shred --force v", "putback v", "putback ../a v", "drop", "drop a b",
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
	for _, line := range []string{"settle", "commit a", "commit --force a/b", `delete "a b" v why`, "commit ../a", "delete a v", `commit "\x2e\x2e"`, "restore --force a v", "pin a why", "shred --all v"} {
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
		if c.flag {
			again += " " + commands[c.verb].flag
		}
		if c.path != "" {
			again += " " + strconv.Quote(c.path)
		}
		if c.version != "" {
			again += " " + c.version
		}
		if c.reason != "" {
			again += " " + c.reason
		}
		if got, err := parseCommand(again); err != nil || got != c {
			t.Errorf("%q is %+v, %q is %+v, %v", line, c, again, got, err)
		}
	})
}
