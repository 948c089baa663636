package format

import (
	"io"
	"math"
)

// The limits of a JSON text. Tokenizers have some 20 MB; their values are not
// kept, only looked through.
const (
	maxJSON       = 64 << 20
	maxJSONDepth  = 512
	maxJSONValues = 1 << 18
	maxJSONTail   = 1 // how deep a list may lie of which only the end is kept
)

// readJSON reads a whole JSON text. That every byte made sense is also the
// best proof of its content that it can give.
func readJSON(r io.ReaderAt, size int64, res *Result) error {
	data, err := jsonText(r, size)
	if err != nil {
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

// jsonText reads the whole text, which a proof of it takes anyway.
func jsonText(r io.ReaderAt, size int64) ([]byte, error) {
	if size > maxJSON {
		return nil, errLimit
	}
	data := make([]byte, size)
	return data, readAt(r, data, 0)
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
	var out map[string]any
	if p.left >= 0 {
		out = map[string]any{}
	}
	err := p.members('}', func() error {
		key, err := p.key()
		if err != nil {
			return err
		}
		v, err := p.value(depth + 1)
		if err == nil && p.left >= 0 {
			out[key] = v
		}
		return err
	})
	return out, err
}

// key reads a name and the colon behind it. It is "" when values are not kept.
func (p *jsonParser) key() (string, error) {
	if p.space(); p.peek() != '"' {
		return "", p.damaged("a name is missing")
	}
	raw, err := p.string()
	if err != nil {
		return "", err
	}
	if p.space(); !p.word(":") {
		return "", p.damaged("a colon is missing")
	}
	if p.left < 0 {
		return "", nil
	}
	return unquote(raw), nil
}

// skip reads a value and keeps nothing of it.
func (p *jsonParser) skip(depth int) error {
	left := p.left
	p.left = -1
	_, err := p.value(depth)
	p.left = left
	return err
}

func (p *jsonParser) array(depth int) (any, error) {
	if p.left >= 0 && depth <= maxJSONTail {
		return p.tail(depth)
	}
	out := []any{} // takes no memory
	err := p.members(']', func() error {
		v, err := p.value(depth + 1)
		if err == nil && p.left >= 0 {
			out = append(out, v)
		}
		return err
	})
	return out, err
}

// tail reads a list of which the end is enough: the history that a trainer
// appends to is longer than everything else it writes. The list is read to its
// end without keeping a value, and once more from where its last items begin.
func (p *jsonParser) tail(depth int) (any, error) {
	left := p.left
	p.left = -1
	var starts []int // of the last items, a ring
	n := 0
	err := p.members(']', func() error {
		if n < maxItems {
			starts = append(starts, p.pos)
		} else {
			starts[n%maxItems] = p.pos
		}
		n++
		_, err := p.value(depth + 1)
		return err
	})
	p.left = left
	if err != nil {
		return nil, err
	}
	end := p.pos
	out := make([]any, len(starts))
	for i := range out {
		p.pos = starts[(n+i)%len(starts)]
		if out[i], err = p.value(depth + 1); err != nil {
			return nil, err // cannot happen: it was read before
		}
	}
	p.pos = end
	if dropped := n - len(out); dropped > 0 {
		return Tail{Dropped: dropped, Items: out}, nil
	}
	return out, nil
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
