package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// The limits of a JSON text. Tokenizers have some 20 MB; their values are not
// kept, only looked through.
const (
	maxJSON       = 64 << 20
	maxJSONDepth  = 512
	maxJSONValues = 1 << 18
)

// readJSON reads a whole JSON text. That every byte made sense is also the
// best proof of its content that it can give.
func readJSON(r io.ReaderAt, size int64, res *Result) error {
	if size > maxJSON {
		return errLimit
	}
	data := make([]byte, size)
	if err := readAt(r, data, 0); err != nil {
		return err
	}
	v, err := parseJSON(data)
	if err != nil {
		return err
	}
	res.Scalars, _ = v.(map[string]any)
	res.Proven, res.Checked, res.Verified = true, true, true
	return nil
}

// parseJSON reads one JSON text as Python's json module writes it: with NaN,
// Infinity and -Infinity, which encoding/json refuses. Where there are too
// many values to keep, the text is still read to its end and gives nil.
// Numbers are int64 where they are whole and fit, else float64.
func parseJSON(data []byte) (any, error) {
	p := &jsonParser{data: data, left: maxJSONValues}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos != len(p.data) {
		return nil, p.damaged("something follows its end")
	}
	if p.left < 0 {
		return nil, nil
	}
	return v, nil
}

type jsonParser struct {
	data []byte
	pos  int
	left int // values that may still be kept; negative when there were too many
}

// value reads one value with the space before it.
func (p *jsonParser) value(depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, errLimit
	}
	p.left--
	p.space()
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		raw, err := p.string()
		if err != nil || p.left < 0 {
			return nil, err
		}
		return unquote(raw), nil
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	}
	for _, w := range words {
		if p.word(w.text) {
			return w.value, nil
		}
	}
	return nil, p.damaged("a value is missing")
}

var words = []struct {
	text  string
	value any
}{{"true", true}, {"false", false}, {"null", nil}, {"NaN", math.NaN()}, {"Infinity", math.Inf(1)}}

func (p *jsonParser) object(depth int) (any, error) {
	out := map[string]any{}
	err := p.members('}', func() error {
		p.space()
		if p.peek() != '"' {
			return p.damaged("a name is missing")
		}
		raw, err := p.string()
		if err != nil {
			return err
		}
		if p.space(); !p.word(":") {
			return p.damaged("a colon is missing")
		}
		v, err := p.value(depth + 1)
		if err == nil && p.left >= 0 {
			out[unquote(raw)] = v
		}
		return err
	})
	return out, err
}

func (p *jsonParser) array(depth int) (any, error) {
	out := []any{}
	err := p.members(']', func() error {
		v, err := p.value(depth + 1)
		if err == nil && p.left >= 0 {
			out = append(out, v)
		}
		return err
	})
	return out, err
}

// members reads the bracket at pos and what it encloses, with commas between.
func (p *jsonParser) members(closing byte, member func() error) error {
	p.pos++
	if p.space(); p.peek() == closing {
		p.pos++
		return nil
	}
	for {
		if err := member(); err != nil {
			return err
		}
		p.space()
		switch c := p.peek(); c {
		case ',':
			p.pos++
		case closing:
			p.pos++
			return nil
		default:
			return p.damaged("a comma or bracket is missing")
		}
	}
}

// string reads a string and returns it with its quotes.
func (p *jsonParser) string() ([]byte, error) {
	start := p.pos
	for p.pos++; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; {
		case c == '"':
			p.pos++
			return p.data[start:p.pos], nil
		case c < 0x20:
			return nil, p.damaged("a string holds a control character")
		case c == '\\':
			if p.pos++; !p.escape() {
				return nil, p.damaged("a string holds a bad escape")
			}
		}
	}
	return nil, p.damaged("a string does not end")
}

// escape checks the escape whose letter is at pos and moves to its last byte.
func (p *jsonParser) escape() bool {
	switch p.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			p.pos++
			c := p.peek() | 0x20
			if !('0' <= p.peek() && p.peek() <= '9' || 'a' <= c && c <= 'f') {
				return false
			}
		}
		return true
	}
	return false
}

// number reads a number, or -Infinity.
func (p *jsonParser) number() (any, error) {
	start := p.pos
	negative := p.word("-")
	if negative && p.word("Infinity") {
		return math.Inf(-1), nil
	}
	whole := true
	if !p.word("0") && !p.digits() {
		return nil, p.damaged("a number is missing")
	}
	if p.word(".") {
		if whole = false; !p.digits() {
			return nil, p.damaged("a number does not end")
		}
	}
	if p.word("e") || p.word("E") {
		_ = p.word("+") || p.word("-")
		if whole = false; !p.digits() {
			return nil, p.damaged("a number does not end")
		}
	}
	if p.left < 0 {
		return nil, nil
	}
	text := string(p.data[start:p.pos])
	if whole {
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			return v, nil
		}
	}
	v, _ := strconv.ParseFloat(text, 64) // out of range is infinite
	return v, nil
}

func (p *jsonParser) digits() bool {
	start := p.pos
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos > start
}

func (p *jsonParser) space() {
	for c := p.peek(); c == ' ' || c == '\n' || c == '\t' || c == '\r'; c = p.peek() {
		p.pos++
	}
}

// word moves past text if it is next.
func (p *jsonParser) word(text string) bool {
	if len(p.data)-p.pos < len(text) || string(p.data[p.pos:p.pos+len(text)]) != text {
		return false
	}
	p.pos += len(text)
	return true
}

// peek is the next byte, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *jsonParser) damaged(why string) error {
	if p.pos >= len(p.data) {
		return Damage("cut short: the JSON text does not end")
	}
	return Damage(fmt.Sprintf("damaged: bad JSON at byte %d (%s)", p.pos, why))
}

// unquote is the text of a string that the parser has accepted.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(inner) // cannot happen: both accept the same strings
	}
	return s
}
