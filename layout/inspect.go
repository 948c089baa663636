package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"ckptfs/layout/format"
)

// Inspect looks into the checkpoint that fsys is rooted at; m is what Match
// said about its name. It reads some kilobytes of each file. Files of fsys
// must implement io.ReaderAt.
//
// What is wrong with the checkpoint is in the report. The error is for trouble
// in reading it, after which nothing is known. A file that vanishes meanwhile
// counts as not there; symbolic links are not followed, and not listed.
func (l *Layout) Inspect(fsys fs.FS, m Match) (Report, error) {
	return l.inspect(fsys, m, format.Check)
}

// Verify does what Inspect does and also proves the content of the files by
// their checksums, as far as they have any. It reads the whole checkpoint.
func (l *Layout) Verify(fsys fs.FS, m Match) (Report, error) {
	return l.inspect(fsys, m, format.Verify)
}

// A check is format.Check or format.Verify.
type check func(name string, r io.ReaderAt, size int64) format.Result

func (l *Layout) inspect(fsys fs.FS, m Match, check check) (Report, error) {
	in := &inspection{
		layout: l, kind: m.Kind, typ: m.Type, fsys: fsys, check: check, other: map[string]string{},
		scalars: make([]format.Scalars, len(l.metadata.sources)),
		factors: map[string]format.Scalars{},
	}
	if in.typ == "" {
		in.typ = Dir
	}
	if err := fs.WalkDir(fsys, ".", in.visit); err != nil {
		return Report{}, fmt.Errorf("inspect checkpoint: %w", err)
	}
	in.report.Missing = in.missing()
	in.report.Lists = in.lists()
	in.report.Progress = l.metadata.progress(m, in.scalars)
	in.report.Metrics = l.metadata.metrics(m, in.scalars)
	in.report.BestName = l.metadata.best(in.scalars)
	return in.report, nil
}

// An inspection is the state of one Inspect.
type inspection struct {
	layout  *Layout
	kind    Kind
	typ     Type
	fsys    fs.FS
	check   check
	report  Report
	other   map[string]string         // what lies under a name without being a regular file
	keys    []string                  // metadata that is missing, in words
	scalars []format.Scalars          // of the files that the layout reads progress from, by source
	factors map[string]format.Scalars // of those that say how many files there are, by pattern
	indexes []index
}

// visit is called for each entry, sorted by path.
func (in *inspection) visit(path string, d fs.DirEntry, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) && path != ".":
		return nil
	case err != nil:
		return err
	case d.IsDir():
		return nil
	case d.Type()&fs.ModeSymlink != 0:
		in.other[path] = "a symbolic link"
		return nil
	case !d.Type().IsRegular():
		in.other[path] = "a special file"
		return nil
	}
	res, size, err := in.look(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if f := in.layout.file(in.typ, path); f != nil {
		if res.Problem == "" {
			res.Problem = f.misplaced(res, size)
		}
		in.keys = append(in.keys, f.missingKeys(path, res)...)
	}
	in.keep(path, res.Scalars)
	if res.Problem != "" && !in.layout.Stranger(in.typ, path) {
		in.report.Problems = append(in.report.Problems, path+": "+res.Problem)
	}
	in.report.Files = append(in.report.Files, FileReport{
		Path:     path,
		Format:   res.Format,
		Size:     size,
		Core:     in.layout.Core(in.typ, path),
		Proven:   res.Proven,
		Checked:  res.Checked,
		Verified: res.Verified,
		Problem:  res.Problem,
	})
	return nil
}

// keep remembers the scalars of a file that the layout asks for.
func (in *inspection) keep(path string, scalars format.Scalars) {
	if scalars == nil {
		return
	}
	for i, src := range in.layout.metadata.sources {
		if in.scalars[i] == nil && matches(src.file, path) {
			in.scalars[i] = scalars
		}
	}
	for _, c := range in.layout.counted {
		if c.from != "" && in.factors[c.from] == nil && matches(c.from, path) {
			in.factors[c.from] = scalars
		}
	}
}

// missing says in words what the layout requires and is not there.
func (in *inspection) missing() (all []string) {
	files := in.report.Files
	for _, g := range in.layout.groups {
		if in.kind == Pointing || !g.applies(in.typ, files) {
			continue
		}
		if what := g.missing(files, in.other); what != "" {
			all = append(all, what)
		}
	}
	all = append(all, in.keys...)
	for _, f := range files {
		if in.typ == File && f.Size == 0 && len(all) == 0 { // whatever its layout requires
			all = append(all, f.Path+" (empty)")
		}
	}
	if in.typ == Dir && len(files) == 0 && len(all) == 0 {
		all = append(all, "any file")
	}
	for _, c := range in.layout.counted {
		all = append(all, c.lacking(files, in.factors[c.from])...)
	}
	for _, idx := range in.indexes {
		all = append(all, idx.lacking(files)...)
	}
	return all
}

// look opens one file and checks it.
func (in *inspection) look(path string) (res format.Result, size int64, err error) {
	f, err := in.fsys.Open(path)
	if err != nil {
		return res, 0, err
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return res, 0, fmt.Errorf("stat %s: %w", path, err)
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		return res, 0, fmt.Errorf("read %s: the file system has no random access (%T is no io.ReaderAt)", path, f)
	}
	watched := &watchedReader{r: r}
	res = in.check(path, watched, info.Size())
	if res.Problem == "" && format.IsIndex(path) {
		res.Problem = in.index(path, watched, info.Size())
	}
	if watched.err != nil {
		return res, 0, fmt.Errorf("read %s: %w", path, watched.err)
	}
	return res, info.Size(), nil
}

// A watchedReader remembers that reading failed, so that a disk's error is not
// taken for the checkpoint's.
type watchedReader struct {
	r   io.ReaderAt
	err error
}

func (w *watchedReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := w.r.ReadAt(b, off)
	if err != nil && err != io.EOF && w.err == nil {
		w.err = err
	}
	return n, err
}
