package store

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A manifest knows its files by their times, too. Where a file of a version gets
// another time through the mount, the manifest hears of it, also while a save is
// open: the same version is committed after the next mount, and is not taken for
// changed from outside before.
func TestTimesReachTheManifest(t *testing.T) {
	for name, change := range map[string]func(b *bench, p *process){
		"utimes of a file that a save shares with the version": func(b *bench, p *process) {
			b.must(p.write(last+"/notes.txt", []byte("a save is open")))
			a, err := p.stat(last + "/config.json")
			b.must(err)
			when := unix.Timespec{Sec: 1_600_000_000}
			_, err = b.SetAttr(last+"/config.json", a.Ident, nil, Change{Mtime: &when}, p.caller())
			b.must(err)
		},
		"the same content saved again, and the next save begun at once": func(b *bench, p *process) {
			b.must(p.save(last, content{"old", 1, 0}))
			b.must(p.write(last+"/config.json", []byte("{}")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWatched(t, func(b *bench) {
				b.seedTold(map[string]content{last: {"old", 1, 0}})
				was := b.version("resume").ID
				p := b.process()
				change(b, p)
				b.pass(0)
				for _, name := range checkpointFiles {
					b.tell(last+"/"+name, false)
				}
				if v := b.version("resume"); v == nil || v.ID != was {
					t.Errorf("it is %+v, not version %s", v, was)
				}
				p.die()
				b.restart()
				if v := b.version("resume"); v == nil || v.ID != was {
					t.Errorf("after the next mount it is %+v, not version %s", v, was)
				}
			})
		})
	}
}
