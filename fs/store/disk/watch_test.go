package disk

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// next returns the first event that the test waits for; the bound only ends a
// test that has failed.
func next(t *testing.T, w Watcher, want Event) {
	t.Helper()
	for bound := time.After(10 * time.Second); ; {
		select {
		case e := <-w.Events():
			if e == want {
				return
			}
		case <-bound:
			t.Fatalf("no event %+v", want)
		}
	}
}

func TestWatcher(t *testing.T) {
	r, dir := newRoot(t)
	w, err := r.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(p string) string { return filepath.Join(dir, p) }
	check(os.Mkdir(at("a"), 0o755))
	check(os.WriteFile(at("a/file"), []byte("one"), 0o644))
	check(w.Watch("", false))
	check(w.Watch("a", true))

	check(os.WriteFile(at("a/file"), []byte("two"), 0))
	next(t, w, Event{Dir: "a", Name: "file", Wrote: true})
	check(os.Chmod(at("a/file"), 0o600))
	next(t, w, Event{Dir: "a", Name: "file"})
	check(os.Rename(at("a"), at("b")))
	next(t, w, Event{Dir: "", Name: "b"})

	// A directory keeps the path that it was watched under, until it is watched anew.
	check(os.WriteFile(at("b/more"), nil, 0o644))
	next(t, w, Event{Dir: "a", Name: "more"})
	check(w.Watch("b", true))
	check(os.WriteFile(at("b/less"), nil, 0o644))
	next(t, w, Event{Dir: "b", Name: "less"})
	w.Unwatch("a") // an old path of it: nothing ends
	check(os.WriteFile(at("b/file"), []byte("three"), 0))
	next(t, w, Event{Dir: "b", Name: "file", Wrote: true})

	// Another directory takes the path.
	check(os.Rename(at("b"), at("c")))
	check(os.Mkdir(at("b"), 0o755))
	check(w.Watch("b", true))
	check(os.WriteFile(at("c/unseen"), nil, 0o644))
	check(os.WriteFile(at("b/seen"), nil, 0o644))
	next(t, w, Event{Dir: "b", Name: "seen"})

	// Of a file it is told what is written to it, by whatever name.
	check(os.Link(at("b/seen"), at("name")))
	check(w.Watch("name", true))
	check(os.WriteFile(at("name"), []byte("four"), 0))
	next(t, w, Event{Dir: "name", Wrote: true})

	if err := w.Watch("nowhere", false); err == nil {
		t.Error("what is not there is watched")
	}
	check(os.Symlink("/", at("link")))
	if err := w.Watch("link", false); err == nil {
		t.Error("a link was followed")
	}
	check(w.Close())
	check(w.Close())
	if _, open := <-w.Events(); open {
		t.Error("an event after the end")
	}
	if err := w.Watch("b", false); err == nil {
		t.Error("watched after the end")
	}
}
