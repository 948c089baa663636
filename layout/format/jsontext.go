package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

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
