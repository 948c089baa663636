package store

import (
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
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

// A trainer that copies a checkpoint into place sets the times of its files when it
// has closed them. If that comes in the middle of the commit, what was hashed may not
// be what was judged: the commit looks again, and is carried out.
func TestTimesDuringACommit(t *testing.T) {
	for _, step := range []disk.Op{"hash", "commit:manifest", "commit:journal", "commit:parent"} {
		t.Run("before "+string(step), func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.seed(map[string]content{last: {"old", 1, 0}})
				p := b.process()
				b.must(p.save(last, content{"new", 2, 0}))
				a, err := p.stat(last + "/config.json")
				b.must(err)
				release := b.disk.holdAt(step)
				b.settle()
				when := unix.Timespec{Sec: 1_600_000_000}
				set := make(chan error)
				go func() { // it may have to wait for the step
					_, err := b.SetAttr(last+"/config.json", a.Ident, nil, Change{Mtime: &when}, p.caller())
					set <- err
				}()
				b.pass(0)
				release()
				if err := <-set; err != nil {
					t.Error(err)
				}
				b.settle()
				b.shows("settled", map[string]string{"resume": "new"})
				id := b.version("resume").ID
				b.restart()
				v := b.version("resume")
				if v == nil || v.ID != id {
					b.t.Fatalf("after the next mount it is %+v, not version %s", v, id)
				}
				if a, err := b.VersionAttr(v, "config.json"); err != nil || a.Mtime != when {
					t.Errorf("the time is %v, %v", a.Mtime, err)
				}
			})
		})
	}
}
