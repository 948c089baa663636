package disk

import (
	"encoding/binary"
)

// The attributes that hold access control lists, and the longest that is read.
const (
	AccessACL  = "system.posix_acl_access"
	DefaultACL = "system.posix_acl_default"
	MaxACL     = 64 << 10
)

// ACL is an access control list as these attributes hold it: version 2 of
// linux/posix_acl_xattr.h.
type ACL []aclEntry

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

const (
	aclVersion = 2

	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// ParseACL reads a list; nil when it is none.
func ParseACL(b []byte) ACL {
	le := binary.LittleEndian
	if len(b) < 4 || (len(b)-4)%8 != 0 || le.Uint32(b) != aclVersion {
		return nil
	}
	var a ACL
	for b = b[4:]; len(b) > 0; b = b[8:] {
		a = append(a, aclEntry{le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:])})
	}
	return a
}

// Bytes writes a list as it is kept.
func (a ACL) Bytes() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, aclVersion)
	for _, e := range a {
		b = le.AppendUint16(b, e.tag)
		b = le.AppendUint16(b, e.perm)
		b = le.AppendUint32(b, e.id)
	}
	return b
}

// Inherit is what a directory with this default list gives an entry that is made
// with a mode: the list of the entry, nil when its mode says it all, and what is
// left of the mode. It is posix_acl_create of the kernel.
func (a ACL) Inherit(mode uint32) (access ACL, left uint32) {
	access = append(ACL(nil), a...)
	extended := false
	group := -1
	limit := func(e *aclEntry, shift int) {
		e.perm &= uint16(mode>>shift) & 7
		mode = mode&^(7<<shift) | uint32(e.perm)<<shift
	}
	for i := range access {
		switch e := &access[i]; e.tag {
		case aclUserObj:
			limit(e, 6)
		case aclOther:
			limit(e, 0)
		case aclGroupObj:
			if group < 0 {
				group = i
			}
		case aclMask:
			group, extended = i, true
		case aclUser, aclGroup:
			extended = true
		}
	}
	if group >= 0 {
		limit(&access[group], 3)
	}
	if !extended {
		return nil, mode
	}
	return access, mode
}
