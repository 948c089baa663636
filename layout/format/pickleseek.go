package format

// A seeker makes a machine look for the objects of one class, whatever its
// module, and keep nothing else: an index of a large checkpoint has a million
// objects, each with a dict. Lists and tuples are Opaque then, a dict keeps
// text and numbers and is used again after its object was built, and only text
// and names are remembered.
type seeker struct {
	class string
	found func(attributes dict)
	free  []dict
}

// maxSought is maxOpcodes for a seeker, which spends no memory on most of them.
const maxSought = 64 << 20

// seekObjects runs one pickle up to its STOP and tells found of every object of
// this class. The attributes are the callee's only until it returns.
func seekObjects(c *cursor, class string, found func(attributes dict)) error {
	m := newMachine(c)
	m.seek = &seeker{class: class, found: found}
	_, err := m.run(maxSought)
	return err
}

// A sought is an object of the class, before it has its attributes.
type sought struct{}

// make is what calling a class gives.
func (s *seeker) make(class any) any {
	if g, ok := class.(global); ok && g.name == s.class {
		return sought{}
	}
	return Opaque{}
}

// keeps reports whether a value is worth its place in a dict.
func (s *seeker) keeps(v any) bool {
	switch v.(type) {
	case string, int64:
		return true
	}
	return false
}

// remembers reports whether a value may be referred to again where it matters.
func (s *seeker) remembers(v any) bool {
	switch v.(type) {
	case string, global:
		return true
	}
	return false
}

// build gives an object its attributes, and takes the dict back. Nothing else
// holds it: it is not remembered, and it is in no container.
func (s *seeker) build(m *machine, v, state any) {
	d, ok := state.(dict)
	if !ok {
		return
	}
	if v == any(sought{}) {
		s.found(d)
	}
	m.memory += costContainer
	for key := range d {
		m.memory += costEntry + int64(len(key))
	}
	clear(d)
	if len(s.free) < maxKeys {
		s.free = append(s.free, d)
	}
}

// dict gives an empty one.
func (s *seeker) dict() dict {
	if n := len(s.free); n > 0 {
		d := s.free[n-1]
		s.free = s.free[:n-1]
		return d
	}
	return dict{}
}
