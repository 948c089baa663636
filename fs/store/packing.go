package store

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"time"
)

// packing writes values one after the other, or reads them back in the same
// order: one description of a format serves both. Numbers take as many bytes as
// they need, and a word that comes again takes the number of its first place.
type packing struct {
	reading bool
	bytes   []byte // written so far, or left to be read
	words   []string
	places  map[string]uint64 // of the words, when writing
	err     error             // the first, when reading
}

var errPacked = errors.New("it ends too soon, or says what cannot be")

func (p *packing) fail() { p.err, p.bytes = errPacked, nil }

func (p *packing) unsigned(n *uint64) {
	if !p.reading {
		p.bytes = binary.AppendUvarint(p.bytes, *n)
		return
	}
	v, length := binary.Uvarint(p.bytes)
	if length <= 0 {
		p.fail()
		return
	}
	*n, p.bytes = v, p.bytes[length:]
}

func (p *packing) signed(n *int64) {
	u := uint64(*n<<1) ^ uint64(*n>>63)
	p.unsigned(&u)
	*n = int64(u>>1) ^ -int64(u&1)
}

func (p *packing) flag(b *bool) {
	var u uint64
	if *b {
		u = 1
	}
	p.unsigned(&u)
	*b = u == 1
}

// raw is n bytes as they are.
func (p *packing) raw(b *[]byte, n int) {
	switch {
	case !p.reading:
		p.bytes = append(p.bytes, *b...)
	case n > len(p.bytes):
		p.fail()
	default:
		*b, p.bytes = p.bytes[:n], p.bytes[n:]
	}
}

// count is the length of a list whose items take at least so many bytes each: it
// can be no longer than what is left.
func (p *packing) count(n, each int) int {
	u := uint64(n)
	p.unsigned(&u)
	if p.reading && u > uint64(len(p.bytes)/each) {
		p.fail()
	}
	if p.err != nil {
		return 0
	}
	return int(u)
}

func (p *packing) word(s *string) {
	at, known := p.places[*s]
	if !p.reading && !known {
		at = uint64(len(p.words))
	}
	p.unsigned(&at)
	switch {
	case p.err != nil:
	case at < uint64(len(p.words)):
		*s = p.words[at]
		return
	case at > uint64(len(p.words)):
		p.fail()
	default:
		b := []byte(*s)
		p.raw(&b, p.count(len(b), 1))
		*s = string(b)
		p.words = append(p.words, *s)
		if !p.reading {
			p.places[*s] = at
		}
	}
}

// optional is a number that may be unknown.
func (p *packing) optional(n **int64) {
	known := *n != nil
	if p.flag(&known); !known || p.err != nil {
		*n = nil
		return
	}
	if p.reading {
		*n = new(int64)
	}
	p.signed(*n)
}

func (p *packing) float(f *float64) {
	var b []byte
	if !p.reading {
		b = binary.LittleEndian.AppendUint64(nil, math.Float64bits(*f))
	}
	if p.raw(&b, 8); p.err == nil {
		*f = math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
}

func (p *packing) time(t *time.Time) {
	seconds, part := t.Unix(), int64(t.Nanosecond())
	p.signed(&seconds)
	p.signed(&part)
	if p.reading {
		*t = time.Unix(seconds, part)
	}
}

// sum is a hash in hexadecimal digits, or nothing.
func (p *packing) sum(s *string) {
	b, err := hex.DecodeString(*s)
	odd := !p.reading && (err != nil || hex.EncodeToString(b) != *s)
	if p.flag(&odd); odd {
		p.word(s)
		return
	}
	if p.raw(&b, p.count(len(b), 1)); p.reading {
		*s = hex.EncodeToString(b)
	}
}

// rare is what hardly any has, and no number: it is kept as JSON.
func (p *packing) rare(there bool, v any) {
	if p.flag(&there); !there || p.err != nil {
		return
	}
	var b []byte
	if !p.reading {
		b, p.err = json.Marshal(v)
	}
	if p.raw(&b, p.count(len(b), 1)); p.reading && p.err == nil && json.Unmarshal(b, v) != nil {
		p.fail()
	}
}
