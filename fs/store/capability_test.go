package store

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The capabilities of a new file are not asked for at the disk, until somebody may
// have given it some.
func TestCapabilitiesOfANewFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file capabilities")
	}
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir(last))
		h, err := p.create(last + "/config.json")
		b.must(err)
		get := func() error {
			_, err := b.Getxattr(last+"/config.json", h.Ident, capability, make([]byte, 64))
			return err
		}
		if err := get(); !errors.Is(err, unix.ENODATA) || !b.incapable(last+"/config.json", h.Ident) {
			t.Errorf("of a new file: %v", err)
		}
		value := []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		b.must(b.Setxattr(last+"/config.json", h.Ident, capability, value, 0, false))
		if err := get(); err != nil {
			t.Errorf("of one that was given some: %v", err)
		}
		b.must(p.close(h))
	})
}
