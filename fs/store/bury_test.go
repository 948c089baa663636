package store

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A look at a name that is not there forgets it, while a trainer is about to make
// it: what he makes is in the catalog all the same. It was not, and his next file
// had no directory.
func TestMkdirOfANameThatIsForgotten(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.must(b.disk.Disk.Mkdir("", "codebert", 0o755))
		const name = "codebert/" + last
		p := b.process()
		at := b.placeOfNew(name, unix.S_IFDIR)
		b.look(name, cameOrWent)
		mkdir := func(to string, mode uint32) error { return b.Store.disk.Mkdir("mkdir", to, mode) }
		_, err := b.buildEntry(at, 0o755, p.caller(), mkdir, unix.S_IFDIR)
		b.must(err)
		for file, data := range (content{"new", 1, 0}).files() {
			b.must(p.write(name+"/"+file, data))
		}
		b.settle()
		b.shows("saved", map[string]string{"codebert/resume": "new"})
	})
}
