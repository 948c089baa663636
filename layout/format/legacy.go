package format

import (
	"encoding/binary"
	"fmt"
	"io"
)

// legacyMagic is the number that a file of torch.save before 1.6 begins with,
// 0x1950a86a20f9469cfc6c. Source: torch/serialization.py, MAGIC_NUMBER.
const legacyMagic = bigInt("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")

// readPickles judges a file that begins with a pickle: torch's old format, or
// just one pickle. Both are written from front to end, so that what reads up
// to the last byte is whole.
func readPickles(r io.ReaderAt, size int64, res *Result) error {
	res.Format = Pickle
	c := newCursor(r, 0, size)
	first, err := scanPickle(c)
	if err != nil {
		return err
	}
	if first.top == any(legacyMagic) {
		res.Format = TorchLegacy
		return readLegacy(c, res)
	}
	res.Scalars = plain(first.top, nil)
	res.Proven = c.rest() == 0 // more may follow: pickle.dump appends to a file
	return nil
}

// readLegacy goes on after the magic number: the protocol version, facts about
// the machine, the object, the list of storage keys, and for each key 8 bytes
// of element count and the elements.
// Source: torch/serialization.py, _legacy_save.
func readLegacy(c *cursor, res *Result) error {
	var parts [4]*pickle
	for i := range parts {
		p, err := scanPickle(c)
		if err != nil {
			return err
		}
		parts[i] = p
	}
	object := parts[2]
	keys, ok := parts[3].top.(*list)
	if !ok {
		return Damage("damaged: the list of its tensors is missing")
	}
	byKey := make(map[string]storage, len(object.storages))
	for s := range object.storages {
		if _, twice := byKey[s.key]; twice {
			return Damage(fmt.Sprintf("damaged: it names tensor data %q in two types", s.key))
		}
		byKey[s.key] = s
	}
	if len(byKey) != len(keys.items) {
		return Damage(fmt.Sprintf("damaged: it lists %d of %d tensors", len(keys.items), len(byKey)))
	}
	res.Scalars = plain(object.top, nil)
	for _, key := range keys.items {
		name, _ := key.(string)
		s, ok := byKey[name]
		if !ok {
			return Damage("damaged: it lists a tensor that it does not hold")
		}
		known, err := skipStorage(c, s)
		if err != nil || !known {
			return err
		}
	}
	if c.rest() != 0 {
		return Damage(fmt.Sprintf("damaged: %d bytes follow its end", c.rest()))
	}
	res.Proven = true
	return nil
}

// skipStorage moves past the elements of s. known is false where their size
// cannot be told, after which nothing can.
func skipStorage(c *cursor, s storage) (known bool, err error) {
	size, _, known := s.bytes()
	b, err := c.next(8)
	if err != nil {
		return known, err
	}
	if n := int64(binary.LittleEndian.Uint64(b)); n != s.numel {
		return known, Damage(fmt.Sprintf("damaged: tensor data %q has %d elements of %d", s.key, n, s.numel))
	}
	if !known {
		return false, nil
	}
	return true, c.skip(size)
}
