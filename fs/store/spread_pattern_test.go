package store

import (
	"strings"
	"sync"

	"ckptfs/layout"
)

// spreadLayout is of trainers whose checkpoints are files, with what the guide's
// trainer has in one of its own.
const spreadLayout = `
name: spread
source: made up for the tests
lists_views: true
entries:
  - {kind: last, type: file, name: 'last\.pth'}
  - {kind: recovery, type: file, name: 'recovery\.pth'}
  - {kind: epoch_end, type: file, name: 'epoch_(?P<epoch>\d+)\.pth'}
  - {kind: last, type: group, name: '(?P<name>state)\.shard\d\.pth'}
files:
  - {type: group, required: true, core: true, any_of: [{path: '*.shard0.pth', format: [torch-zip]}]}
  - {type: group, required: true, core: true, any_of: [{path: '*.shard1.pth', format: [torch-zip]}]}
metadata:
  - {file: '*.pth', epoch: epoch, step: step, batches_per_epoch: total_batches}
`

var parsedSpread = sync.OnceValue(func() *layout.Layout {
	l, err := layout.Parse("spread.yaml", []byte(spreadLayout))
	if err != nil {
		panic(err)
	}
	return l
})

// spreadFiles are the files of a spread checkpoint in these tests, or a file of
// one; nil for what is none.
func spreadFiles(name string) []string {
	switch {
	case name == "state":
		return []string{"state.shard0.pth", "state.shard1.pth"}
	case strings.HasSuffix(name, ".pth") && !strings.Contains(name, "/"):
		return []string{name}
	}
	return nil
}

// file is all of a checkpoint in one file.
func (c content) file() []byte { return c.rewrite("training_state.pth") }

// spreadPatterns are the ways in which trainers save checkpoints that are files.
func spreadPatterns() []pattern {
	const file, tmp = "last.pth", "last.pth.tmp"
	list := []pattern{
		{name: "a file, overwritten", to: file, save: func(p *process, c content) error { return p.save(file, c) }},
		{name: "a file, temporary, then rename", to: file, save: func(p *process, c content) error {
			if err := p.write(tmp, c.file()); err != nil {
				return err
			}
			return p.rename(tmp, file)
		}},
		{name: "a file, removed, renamed in and linked", to: file, gap: true, save: func(p *process, c content) error {
			if err := p.write(tmp, c.file()); err != nil {
				return err
			}
			for _, name := range []string{file, "epoch_9.pth"} {
				if err := p.removeAll(name); err != nil {
					return err
				}
			}
			if err := p.rename(tmp, file); err != nil {
				return err
			}
			return p.link(file, "epoch_9.pth")
		}},
		{name: "a group", to: "state", save: func(p *process, c content) error { return p.save("state", c) }},
	}
	for i := range list {
		list[i].spread = parsedSpread()
	}
	return list
}

// allPatterns are those of directories and those of files.
func allPatterns() []pattern {
	return append(patterns[:len(patterns):len(patterns)], spreadPatterns()...)
}
