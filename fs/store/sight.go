package store

import (
	"os"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
)

// User is the user that the daemon runs as.
func (s *Store) User() uint32 { return uint32(os.Geteuid()) }

// Sees says which directories a user may list, for reports about all of them: he
// must not learn from a report what the directory would not show him. Of his
// groups only the first is known, and a directory with an access control list
// counts as closed to all but its owner; so it says no too often, never yes.
func (s *Store) Sees(c Caller) func(dir string) bool {
	known := map[string]bool{}
	var sees func(dir string) bool
	sees = func(dir string) bool {
		if c.UID == 0 {
			return true
		}
		if may, ok := known[dir]; ok {
			return may
		}
		may := (dir == "" || sees(dirOf(dir))) && s.mayList(dir, c)
		known[dir] = may
		return may
	}
	return sees
}

func (s *Store) mayList(dir string, c Caller) bool {
	st, err := s.disk.Stat(dir)
	if err != nil {
		return false
	}
	const list = 5 // read and search
	perm := st.Mode
	switch {
	case st.UID == c.UID:
		perm >>= 6
	case s.listed(dir):
		return false
	case st.GID == c.GID:
		perm >>= 3
	}
	return st.IsDir() && perm&list == list
}

// listed reports whether a directory has an access control list.
func (s *Store) listed(dir string) bool {
	_, err := s.disk.Getxattr(dir, disk.AccessACL, make([]byte, disk.MaxACL))
	return ignore(err, unix.ENODATA, unix.EOPNOTSUPP) != nil || err == nil
}

// Hide takes from a report the runs that a user does not see.
func (r *ListReport) Hide(sees func(dir string) bool) {
	r.Runs = visible(r.Runs, sees, func(l RunList) string { return l.Path })
}

// Hide takes from a report the runs that a user does not see.
func (r *StatusReport) Hide(sees func(dir string) bool) {
	r.Runs = visible(r.Runs, sees, func(r RunStatus) string { return r.Path })
	if !sees(Private) { // a look at where it hangs would hang too
		r.Hanging = []Hanging{}
	}
}

// HideRuns takes from the reports the runs that a user does not see.
func HideRuns(list []ExplainReport, sees func(dir string) bool) []ExplainReport {
	return visible(list, sees, func(r ExplainReport) string { return r.Path })
}

// HideEvents takes from the events those of directories that a user does not see.
func HideEvents(list []Event, sees func(dir string) bool) []Event {
	out := []Event{}
	for _, e := range list {
		dir := dirOf(e.Path)
		if e.What == "control" {
			dir = Private // a command, which is for those who may look in there
		}
		if sees(dir) {
			out = append(out, e)
		}
	}
	return out
}

func visible[T any](list []T, sees func(dir string) bool, path func(T) string) []T {
	out := []T{}
	for _, item := range list {
		dir := path(item)
		if dir == "." {
			dir = ""
		}
		if sees(dir) {
			out = append(out, item)
		}
	}
	return out
}
