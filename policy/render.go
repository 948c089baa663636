package policy

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const preamble = `# The configuration of ckptfs, as .ckptfs.yaml in the mounted directory or with
# --config. Every key may be left out; what stands here is in effect.
`

// YAML renders the effective configuration with a comment for every key; a key
// that is not set stands as a comment with an example. [Parse] reads it back
// to an equal Config.
func (c Config) YAML() []byte {
	var b bytes.Buffer
	b.WriteString(preamble)
	for _, k := range root.keys {
		b.WriteByte('\n')
		k.render(&b, &c, "")
	}
	return b.Bytes()
}

func (k key) render(b *bytes.Buffer, c *Config, indent string) {
	if k.keys != nil {
		for line := range strings.Lines(k.doc + "\n") {
			fmt.Fprintf(b, "%s# %s", indent, line)
		}
		fmt.Fprintf(b, "%s%s:\n", indent, k.name)
		for _, sub := range k.keys {
			sub.render(b, c, indent+"  ")
		}
		return
	}
	if k.runs && len(c.Runs) > 0 {
		k.renderRuns(b, c.Runs)
		return
	}
	line := ""
	if !k.layouts && !k.runs {
		line = k.value.format(c)
	}
	if line != "" {
		line = fmt.Sprintf("%s%s: %s", indent, k.name, line)
	} else {
		line = fmt.Sprintf("%s# %s: %s", indent, k.name, k.example)
	}
	if k.doc != "" {
		line = fmt.Sprintf("%-30s # %s", line, k.doc)
	}
	b.WriteString(line + "\n")
}

// plain are the strings that YAML reads as strings without quotes, but for the
// words in reserved.
var (
	plain    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	reserved = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|y|n|null)$`)
)

// quote writes s as a YAML scalar. A Go string literal of valid UTF-8 is a
// double-quoted YAML scalar.
func quote(s string) string {
	if plain.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}
