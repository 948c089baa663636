package disk

// Watcher tells of changes in directories, by whomever they are made: through
// the mount, or beneath it by a process that was there before.
type Watcher interface {
	// Watch begins to report on a directory: the names that come and go in it,
	// and with content also what is written to its files. Of a file it reports what
	// is written to it. Watching a path anew
	// takes the directory that lies there now. ENOSPC says that the user may
	// watch no more.
	Watch(path string, content bool) error
	// Unwatch ends it, for a path and all below it.
	Unwatch(path string)
	// Events is closed when there will be no more.
	Events() <-chan Event
	Close() error
}

// Event is one change in a watched directory.
type Event struct {
	Dir   string // as it was given to Watch
	Name  string // the entry; "" for a file that is watched itself
	Wrote bool   // its bytes were changed where they are
	Lost  bool   // more happened than could be told: everything may have changed
}
