package saves

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Layouts is the part of a configuration that has the layout of trainers whose
// checkpoints are files of the run. What those say of their progress is what the
// guide's trainer says; more shards than two are there if more ranks wrote.
const Layouts = `
layouts:
  - name: spread
    source: made up for the tests
    lists_views: true
    entries:
      - {kind: last, type: file, name: 'last\.pth'}
      - {kind: last, type: group, name: '(?P<name>state)\.shard\d\.pth'}
    files:
      - {type: file, required: true, core: true, any_of: [{path: '*.pth', format: [torch-zip]}]}
      - {type: group, required: true, core: true, any_of: [{path: '*.shard0.pth', format: [torch-zip]}]}
      - {type: group, required: true, core: true, any_of: [{path: '*.shard1.pth', format: [torch-zip]}]}
      - {type: group, any_of: [{path: '*.shard?.pth', format: [torch-zip]}]}
    metadata:
      - {file: '*.pth', epoch: epoch, step: step, batches_per_epoch: total_batches}
`

// beside ends the name of a file that is to be renamed: an ordinary one.
const beside = ".tmp"

// shards are the files that every group has.
var shards = []string{shard(0), shard(1)}

func shard(i int) string { return fmt.Sprintf("%s.shard%d.pth", lastGroup, i) }

// FilesOf are what a checkpoint consists of, also in a view, in the order in
// which they are written.
func FilesOf(pattern string) []string {
	switch pattern {
	case FileOverwrite, FileRename:
		return []string{lastFile}
	case Group:
		return shards
	}
	return Files
}

// InRun reports whether a name in a run is that of a file of a checkpoint there.
func InRun(name string) bool {
	return name == lastFile || strings.HasPrefix(name, lastGroup+".shard") && strings.HasSuffix(name, ".pth")
}

// A File is one that a save writes.
type File struct {
	Name    string // that it is written under
	Content []byte
}

// Written are the files of one save in a pattern, in the trainer's order.
func Written(pattern, token string, pad int) (files []File) {
	switch pattern {
	case FileOverwrite:
		return []File{{lastFile, withRecord("training_state.pth", token, pad)}}
	case FileRename:
		return []File{{lastFile + beside, withRecord("training_state.pth", token, pad)}}
	case Group:
		return []File{
			{shards[0], withRecord("training_state.pth", token, 0)},
			{shards[1], withRecord("pytorch_model.bin", token, pad)},
		}
	}
	content := Content(token, pad)
	for _, name := range Files {
		files = append(files, File{name, content[name]})
	}
	return files
}

// Further is what one rank of several adds to a save: a file of its own that no
// checkpoint needs, in a group one shard more. A single file has none.
func Further(pattern, token string, rank int) (f File, ok bool) {
	switch pattern {
	case FileOverwrite, FileRename:
		return File{}, false
	case Group:
		return File{shard(1 + rank), withRecord("training_state.pth", token, 0)}, true
	}
	content, err := json.Marshal(map[string]any{"rank": rank, "token": token})
	if err != nil {
		panic(err)
	}
	return File{fmt.Sprintf("rng_state_%d.json", rank), content}, true
}
