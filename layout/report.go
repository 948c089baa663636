package layout

// Report is what one look into a checkpoint directory found. Nothing of it
// comes from loading tensors.
type Report struct {
	Progress Progress
	Metrics  map[string]float64  // by the name in the metadata, e.g. "best_val_f1"; what is not finite is left out
	BestName string              // the checkpoint that this one's metadata calls the best so far; "" when it calls none
	Files    []FileReport        // every regular file, sorted by path
	Lists    map[string][]string // the files that an index lists, by the path of the index; nil without one
	Missing  []string            // what the layout requires and is not there, in words that can follow "missing: "
	Problems []string            // "path: what is wrong", one per damaged file that is no stranger
}

// FileReport is one file of a checkpoint.
type FileReport struct {
	Path     string // slash-separated, relative to the checkpoint
	Format   string // "torch-zip", "safetensors", "json", "opaque", …
	Size     int64  // bytes
	Core     bool   // belongs to the set that must come from one save
	Proven   bool   // the format proved the file whole (structure); false where a length is set before the content
	Checked  bool   // its content can be proved from the file alone (torch zip CRCs)
	Verified bool   // its content has been proved so
	Problem  string // "" when nothing is wrong
}

// Complete reports whether everything the layout requires is there.
func (r *Report) Complete() bool { return len(r.Missing) == 0 }

// Valid reports whether the checkpoint is complete and every recognised file
// is structurally whole. A stranger may be damaged.
func (r *Report) Valid() bool { return r.Complete() && len(r.Problems) == 0 }

// Proven reports whether every file has proved its own content, which is what
// a save needs that a power cut has interrupted. Only Verify can make it true
// for files of some size: Inspect does not read them.
func (r *Report) Proven() bool {
	for _, f := range r.Files {
		if !f.Verified || f.Problem != "" {
			return false
		}
	}
	return len(r.Files) > 0
}
