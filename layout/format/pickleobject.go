package format

import (
	"slices"
	"strconv"
)

// The values of a scan besides nil, bool, int64, float64, string, Opaque and
// storage.
type (
	dict     map[string]any // numbers as keys are written in decimal
	list     struct{ items []any }
	tuple    []any
	rawBytes string
	bigInt   string // little-endian two's complement, more than 8 bytes
	global   struct{ module, name string }
	dtype    struct { // of numpy
		code string
		big  bool // big-endian
	}
)

func (m *machine) newDict() dict {
	m.memory -= costContainer
	if m.seek != nil {
		return m.seek.dict()
	}
	return dict{}
}

func (m *machine) newList(items []any) any {
	if m.seek != nil {
		return Opaque{}
	}
	m.memory -= costContainer + costSlot*int64(len(items))
	return &list{items: slices.Clone(items)}
}

func (m *machine) pushTuple(items []any, err error) error {
	if err != nil {
		return err
	}
	if m.seek != nil {
		return m.push(Opaque{})
	}
	m.memory -= costContainer + costSlot*int64(len(items))
	return m.push(tuple(slices.Clone(items)))
}

// appendTop appends to the list on top. An object that is no plain list keeps
// its items to itself.
func (m *machine) appendTop(items []any, err error) error {
	if err != nil {
		return err
	}
	return m.onTop(func(v any) error {
		if l, ok := v.(*list); ok {
			m.memory -= 2 * costSlot * int64(len(items)) // append keeps room to grow
			l.items = append(l.items, items...)
		}
		return nil
	})
}

// setTop sets keys and values in the dict on top.
func (m *machine) setTop(items []any, err error) error {
	if err != nil {
		return err
	}
	return m.onTop(func(v any) error {
		if d, ok := v.(dict); ok {
			m.setItems(d, items)
		}
		return nil
	})
}

// setItems sets what has a plain key; keys of other types cannot be asked for.
func (m *machine) setItems(d dict, items []any) {
	for i := 0; i+1 < len(items); i += 2 {
		if m.seek != nil && !m.seek.keeps(items[i+1]) {
			continue
		}
		key, ok := keyText(items[i])
		if !ok {
			continue
		}
		m.memory -= costEntry + int64(len(key))
		d[key] = items[i+1]
	}
}

// keyText is how a key is asked for: numbers are written in decimal.
func keyText(key any) (text string, ok bool) {
	switch k := key.(type) {
	case string:
		return k, true
	case int64:
		return strconv.FormatInt(k, 10), true
	}
	return "", false
}

// construct runs the opcodes that make Python call something.
func (m *machine) construct(op byte) error {
	switch op {
	case opReduce:
		v, err := m.popN(2)
		if err != nil {
			return err
		}
		return m.push(m.call(v[0], v[1]))
	case opNewObj:
		v, err := m.popN(2)
		return m.pushObject(v, err)
	case opNewObjEx:
		v, err := m.popN(3)
		return m.pushObject(v, err)
	case opBuild:
		state, err := m.pop()
		if err != nil {
			return err
		}
		return m.onTop(func(v any) error { m.setState(v, state); return nil })
	case opStackGlobal:
		v, err := m.popN(2)
		if err != nil {
			return err
		}
		module, ok1 := v[0].(string)
		name, ok2 := v[1].(string)
		if !ok1 || !ok2 {
			return malformed(op, "a name that is no text")
		}
		return m.push(global{module, name})
	case opBinPersID:
		id, err := m.pop()
		if err != nil {
			return err
		}
		return m.push(m.name(id))
	}
	return malformed(op, "unknown")
}

// pushObject makes an object of the class that made begins with.
func (m *machine) pushObject(made []any, err error) error {
	if err != nil {
		return err
	}
	if m.seek != nil && len(made) > 0 {
		return m.push(m.seek.make(made[0]))
	}
	return m.push(Opaque{})
}

// global reads the two lines of GLOBAL.
func (m *machine) global() error {
	module, err := m.in.line()
	if err != nil {
		return err
	}
	g := global{module: string(module)}
	name, err := m.in.line()
	if err != nil {
		return err
	}
	g.name = string(name)
	m.memory -= costContainer + int64(len(g.module)+len(g.name))
	return m.push(g)
}

// inst is GLOBAL, then a call with everything above the MARK.
func (m *machine) inst() error {
	if err := m.global(); err != nil {
		return err
	}
	_, err := m.popMark()
	return m.pushObject(nil, err)
}

// name notes a storage and gives it. A persistent id that is none belongs to
// another program than torch.
func (m *machine) name(id any) any {
	t, ok := id.(tuple)
	if !ok || len(t) < 5 || t[0] != any("storage") {
		return Opaque{}
	}
	class, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 {
		return Opaque{}
	}
	s := storage{class: class.name, key: key, numel: numel}
	m.memory -= 2*costContainer + int64(len(class.name)+len(key))
	m.storages[s] = struct{}{}
	return s
}
