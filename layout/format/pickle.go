package format

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The limits of a scan. The memory is what the values may occupy, in bytes, as
// build counts it; a checkpoint with 100,000 tensors needs two thirds of it.
const (
	maxOpcodes      = 32 << 20
	maxPickleMemory = 192 << 20
	maxPickleStack  = 1 << 20
	maxPickleString = cursorBuffer // a longer one is skipped and becomes Opaque
)

// A pickle is what a scan found: the object, with everything that would need
// code to build it as Opaque, and the storages that it names. A tensor of a
// single number says where that lies.
type pickle struct {
	top      any
	storages map[storage]struct{}
}

// scanPickle runs one pickle up to its STOP and leaves the cursor behind it.
// It is a pickle machine that can only build plain values: it looks up no
// names and calls nothing.
func scanPickle(c *cursor) (*pickle, error) { return newMachine(c).run(maxOpcodes) }

func newMachine(c *cursor) *machine {
	return &machine{in: c, memory: maxPickleMemory, storages: map[storage]struct{}{}}
}

// run runs opcodes up to STOP, or up to so many.
func (m *machine) run(opcodes int) (*pickle, error) {
	for range opcodes {
		op, err := m.in.byte()
		if err != nil {
			return nil, err
		}
		if op == opStop {
			top, err := m.pop()
			return &pickle{top: top, storages: m.storages}, err
		}
		if err := m.step(op); err != nil {
			return nil, err
		}
		if m.memory < 0 || len(m.stack) > maxPickleStack || len(m.marks) > maxPickleStack {
			return nil, errLimit
		}
	}
	return nil, errLimit
}

// A machine is the state of a scan.
type machine struct {
	in       *cursor
	stack    []any
	marks    []int // heights of the stack at each open MARK
	memo     memo
	memory   int64 // bytes that may still be spent
	storages map[storage]struct{}
	seek     *seeker // nil when everything is kept
	tensors  *tally  // nil when they are not counted
}

// step runs one opcode: those that carry an argument here, those that only
// move what is on the stack in build.
func (m *machine) step(op byte) error {
	switch op {
	case opProto:
		return m.in.skip(1)
	case opFrame:
		return m.in.skip(8)
	case opBinInt:
		v, err := m.uint(4)
		return m.pushNumber(int64(int32(v)), err)
	case opBinInt1:
		v, err := m.uint(1)
		return m.pushNumber(int64(v), err)
	case opBinInt2:
		v, err := m.uint(2)
		return m.pushNumber(int64(v), err)
	case opLong1:
		return m.long(1)
	case opLong4:
		return m.long(4)
	case opBinFloat:
		b, err := m.in.next(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case opShortBinString, opShortBinUnicode:
		return m.text(1)
	case opBinString, opBinUnicode:
		return m.text(4)
	case opBinUnicode8:
		return m.text(8)
	case opShortBinBytes:
		return m.bytes(1)
	case opBinBytes:
		return m.bytes(4)
	case opBinBytes8, opByteArray8:
		return m.bytes(8)
	case opGlobal:
		return m.global()
	case opInst:
		return m.inst()
	case opExt1:
		return m.skipThenPush(1)
	case opExt2:
		return m.skipThenPush(2)
	case opExt4:
		return m.skipThenPush(4)
	case opBinPut:
		return m.put(1)
	case opLongBinPut:
		return m.put(4)
	case opBinGet:
		return m.get(1)
	case opLongBinGet:
		return m.get(4)
	}
	return m.build(op)
}

// uint reads a little-endian number of 1, 2, 4 or 8 bytes.
func (m *machine) uint(width int) (uint64, error) {
	b, err := m.in.next(width)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// length reads a length and checks it against what is left.
func (m *machine) length(width int) (int64, error) {
	v, err := m.uint(width)
	if err != nil {
		return 0, err
	}
	if v > uint64(m.in.rest()) {
		return 0, m.in.short(int64(min(v, math.MaxInt64)))
	}
	return int64(v), nil
}

// blob reads a counted string. A long one is skipped: ok is false.
func (m *machine) blob(width int) (b []byte, ok bool, err error) {
	n, err := m.length(width)
	if err != nil {
		return nil, false, err
	}
	if n > maxPickleString {
		return nil, false, m.in.skip(n)
	}
	m.memory -= n
	b, err = m.in.next(int(n))
	return b, true, err
}

func (m *machine) text(width int) error {
	b, ok, err := m.blob(width)
	if err != nil {
		return err
	}
	if !ok {
		return m.push(Opaque{})
	}
	return m.push(string(b))
}

func (m *machine) bytes(width int) error {
	b, ok, err := m.blob(width)
	if err != nil {
		return err
	}
	if !ok {
		return m.push(Opaque{})
	}
	return m.push(rawBytes(b))
}

// long reads an integer of any size in two's complement. What does not fit
// into 64 bits stays as its bytes.
func (m *machine) long(width int) error {
	b, ok, err := m.blob(width)
	if err != nil {
		return err
	}
	if !ok || len(b) > 8 {
		return m.push(bigInt(b))
	}
	var v uint64
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	if n := len(b); n > 0 && n < 8 && b[n-1]&0x80 != 0 {
		v |= ^uint64(0) << (8 * n)
	}
	return m.push(int64(v))
}

func (m *machine) skipThenPush(width int64) error {
	if err := m.in.skip(width); err != nil {
		return err
	}
	return m.push(Opaque{})
}

func (m *machine) pushNumber(v int64, err error) error {
	if err != nil {
		return err
	}
	return m.push(v)
}

func malformed(op byte, why string) error {
	return Damage(fmt.Sprintf("damaged: bad pickle (opcode %#02x: %s)", op, why))
}
