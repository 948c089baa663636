package store

import "testing"

// A trainer empties a checkpoint's directory and renames the next one onto it. What
// was committed stays so until the next one is: the views show it, also when what
// came is not whole, and after a crash (P2).
func TestRenameOntoAnEmptiedName(t *testing.T) {
	whole := content{"new", 2, 0}
	for _, c := range []struct {
		name   string
		make   func(b *bench, p *process)
		resume string // in the end
	}{
		{"a whole one", func(b *bench, p *process) { b.must(p.save(tmp, whole)) }, "new"},
		{"half of one", func(b *bench, p *process) {
			b.must(p.mkdir(tmp))
			b.must(p.write(tmp+"/config.json", whole.files()["config.json"]))
		}, "old"},
		{"one that was staged as a checkpoint", func(b *bench, p *process) {
			b.must(p.mkdir(last + "/next"))
			for name, data := range whole.files() {
				b.must(p.write(last+"/next/"+name, data))
			}
			b.must(p.rename(last+"/next", tmp))
		}, "new"},
	} {
		for _, crash := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				inBubble(t, func(b *bench) {
					b.seed(map[string]content{last: {"older", 1, 0}})
					b.seed(map[string]content{last: {"old", 1, 0}})
					p := b.process()
					c.make(b, p)
					for _, name := range checkpointFiles {
						b.must(p.unlink(last + "/" + name))
					}
					release := b.disk.holdAt("commit:sync")
					b.must(p.rename(tmp, last))
					b.pass(0)
					b.shows("renamed", map[string]string{"resume": "old", "latest": "old"})
					b.check("renamed")
					if names, err := p.list(last); err != nil || len(names) == 0 {
						t.Errorf("the live directory holds %v, %v", names, err)
					}
					if crash {
						b.restart()
					} else {
						release()
					}
					b.settle()
					b.shows("settled", map[string]string{"resume": c.resume})
					b.check("settled")
					if left := b.left(trashDir); c.resume == "old" && len(left) > 2 { // the oldest, and its note
						t.Errorf("in the trash: %v", left)
					}
				})
			})
		}
	}
}
