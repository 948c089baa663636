package format

// The memory that a value is counted with: what an interface, a container and
// an entry of a map occupy, roughly.
const (
	costSlot      = 16
	costContainer = 64
	costEntry     = 64
)

// build runs the opcodes that only move what is on the stack.
func (m *machine) build(op byte) error {
	switch op {
	case opMark:
		m.memory -= costSlot
		m.marks = append(m.marks, len(m.stack))
		return nil
	case opPop:
		return m.drop()
	case opPopMark:
		_, err := m.popMark()
		return err
	case opDup:
		return m.onTop(m.duplicate)
	case opNone:
		return m.push(nil)
	case opNewTrue:
		return m.push(true)
	case opNewFalse:
		return m.push(false)
	case opEmptyDict:
		return m.push(m.newDict())
	case opEmptyList:
		return m.push(m.newList(nil))
	case opEmptyTuple:
		return m.push(tuple{})
	case opEmptySet, opNextBuffer:
		return m.push(Opaque{})
	case opReadOnlyBuffer:
		return nil
	case opTuple1, opTuple2, opTuple3:
		items, err := m.popN(int(op) - opTuple1 + 1)
		return m.pushTuple(items, err)
	case opTuple:
		items, err := m.popMark()
		return m.pushTuple(items, err)
	case opList:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		return m.push(m.newList(items))
	case opDict:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		d := m.newDict()
		m.setItems(d, items)
		return m.push(d)
	case opAppend:
		items, err := m.popN(1)
		return m.appendTop(items, err)
	case opAppends:
		items, err := m.popMark()
		return m.appendTop(items, err)
	case opSetItem:
		items, err := m.popN(2)
		return m.setTop(items, err)
	case opSetItems:
		items, err := m.popMark()
		return m.setTop(items, err)
	case opAddItems:
		_, err := m.popMark()
		return err
	case opFrozenSet, opObj:
		_, err := m.popMark()
		if err != nil {
			return err
		}
		return m.push(Opaque{})
	case opMemoize:
		return m.onTop(func(v any) error { m.remember(uint32(m.memo.len()), v); return nil })
	}
	return m.construct(op)
}

func (m *machine) push(v any) error {
	m.memory -= costSlot
	m.stack = append(m.stack, v)
	return nil
}

// floor is the height below which the open MARK keeps the stack.
func (m *machine) floor() int {
	if n := len(m.marks); n > 0 {
		return m.marks[n-1]
	}
	return 0
}

// popN takes the n topmost values, lowest first. The slice is valid until the
// next push.
func (m *machine) popN(n int) ([]any, error) {
	if len(m.stack)-m.floor() < n {
		return nil, Damage("damaged: bad pickle (it takes more than it put down)")
	}
	at := len(m.stack) - n
	items := m.stack[at:]
	m.stack = m.stack[:at]
	m.memory += costSlot * int64(n)
	return items, nil
}

func (m *machine) pop() (any, error) {
	items, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// popMark takes everything above the last MARK, and the MARK.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, Damage("damaged: bad pickle (it takes a mark that it did not set)")
	}
	items, err := m.popN(len(m.stack) - m.floor())
	m.marks = m.marks[:len(m.marks)-1]
	m.memory += costSlot
	return items, err
}

// drop is POP, which also takes back a MARK with nothing above it.
func (m *machine) drop() error {
	if n := len(m.marks); n > 0 && m.marks[n-1] == len(m.stack) {
		m.marks = m.marks[:n-1]
		return nil
	}
	_, err := m.pop()
	return err
}

// onTop calls f with the topmost value and leaves it there.
func (m *machine) onTop(f func(any) error) error {
	if len(m.stack) <= m.floor() {
		return Damage("damaged: bad pickle (it uses a value that is not there)")
	}
	return f(m.stack[len(m.stack)-1])
}

// duplicate pushes a value again. A dict that will be used again has one place.
func (m *machine) duplicate(v any) error {
	if _, ok := v.(dict); ok && m.seek != nil {
		v = Opaque{}
	}
	return m.push(v)
}

func (m *machine) remember(at uint32, v any) {
	if m.seek != nil && !m.seek.remembers(v) {
		m.memo.pass()
		return
	}
	m.memory -= costEntry
	m.memo.put(at, v)
}

func (m *machine) put(width int) error {
	at, err := m.uint(width)
	if err != nil {
		return err
	}
	return m.onTop(func(v any) error { m.remember(uint32(at), v); return nil })
}

func (m *machine) get(width int) error {
	at, err := m.uint(width)
	if err != nil {
		return err
	}
	v, ok := m.memo.get(uint32(at))
	if !ok {
		return Damage("damaged: bad pickle (it refers to a value that it has not stored)")
	}
	return m.push(v)
}
