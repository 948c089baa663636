package format

import (
	"bytes"
	"fmt"
	"io"
)

// cursorBuffer is how much a cursor reads at a time, and the longest piece
// that next can hand out.
const cursorBuffer = 32 << 10

// A cursor reads a region of a file forwards through one fixed buffer. Bytes
// that are skipped are never read.
type cursor struct {
	r    io.ReaderAt
	pos  int64 // of the next byte to hand out
	end  int64 // of the region
	mem  []byte
	have []byte // the buffered bytes from pos on; a part of mem
}

func newCursor(r io.ReaderAt, pos, end int64) *cursor {
	return &cursor{r: r, pos: pos, end: end}
}

// rest is the number of bytes left in the region.
func (c *cursor) rest() int64 { return c.end - c.pos }

// byte hands out the next byte.
func (c *cursor) byte() (byte, error) {
	b, err := c.next(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// next hands out the next n bytes, which stay valid until the next call. n
// must not exceed cursorBuffer.
func (c *cursor) next(n int) ([]byte, error) {
	if err := c.fill(n); err != nil {
		return nil, err
	}
	b := c.have[:n]
	c.have = c.have[n:]
	c.pos += int64(n)
	return b, nil
}

// line hands out the bytes before the next newline and moves past it.
func (c *cursor) line() ([]byte, error) {
	for want := 64; ; want *= 2 {
		want = int(min(int64(want), cursorBuffer, c.rest()))
		if err := c.fill(want); err != nil {
			return nil, err
		}
		if i := bytes.IndexByte(c.have, '\n'); i >= 0 {
			b, err := c.next(i + 1)
			return b[:i], err
		}
		if int64(want) == min(cursorBuffer, c.rest()) {
			return nil, Damage("damaged: a line in it does not end")
		}
	}
}

// skip moves past n bytes without reading them.
func (c *cursor) skip(n int64) error {
	if n < 0 || n > c.rest() {
		return c.short(n)
	}
	c.pos += n
	c.have = c.have[min(n, int64(len(c.have))):]
	return nil
}

// fill sees to it that at least n bytes are buffered.
func (c *cursor) fill(n int) error {
	if n <= len(c.have) {
		return nil
	}
	if int64(n) > c.rest() {
		return c.short(int64(n))
	}
	if c.mem == nil {
		c.mem = make([]byte, min(cursorBuffer, c.rest()))
	}
	kept := copy(c.mem, c.have)
	c.have = c.mem[:min(int64(len(c.mem)), c.rest())]
	return readAt(c.r, c.have[kept:], c.pos+int64(kept))
}

func (c *cursor) short(n int64) error {
	return Damage(fmt.Sprintf("cut short: %d bytes expected at offset %d, %d are left", n, c.pos, c.rest()))
}

// readAt fills b from off. A file that ends before that has shrunk since its
// size was taken, which is damage; every other error is the reader's.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return Damage(fmt.Sprintf("cut short: it ends at offset %d", off+int64(n)))
	}
	return err
}
