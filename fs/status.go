package fs

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"ckptfs/fs/store"
)

// status is the report of the store with what only the mount knows.
func (m *mount) status(sees func(dir string) bool) store.StatusReport {
	rep := m.store.Status()
	rep.Hide(sees)
	rep.Backing = m.opts.Dir
	rep.Passthrough = m.passthrough.Load()
	return rep
}

// statusText is the report for a person with nothing but cat.
func (m *mount) statusText(sees func(dir string) bool) []byte {
	rep := m.status(sees)
	var b bytes.Buffer
	fmt.Fprintf(&b, "mounted at %s over %s, pid %d, passthrough %v\n", rep.Mountpoint, rep.Backing, rep.PID, rep.Passthrough)
	if rep.Unwatched != "" {
		fmt.Fprintf(&b, "note: %s\n", rep.Unwatched)
	}
	for _, h := range rep.Hanging {
		fmt.Fprintf(&b, "note: %s\n", h.Words())
	}
	if s := rep.Scrub; s != nil && s.Ended != nil {
		fmt.Fprintf(&b, "scrubbed at %s: %d checkpoints, %d damaged\n", s.Ended.Format(time.RFC3339), s.Checkpoints, len(s.Damaged))
	}
	for _, r := range rep.Runs {
		fmt.Fprintf(&b, "\nrun %s", r.Path)
		if r.Layout != "" {
			fmt.Fprintf(&b, " (%s: %s)", r.Layout, r.Why)
		}
		fmt.Fprintln(&b)
		for _, view := range slices.Sorted(maps.Keys(r.Views)) {
			fmt.Fprintf(&b, "  %s/ -> %s\n", view, r.Views[view])
		}
		for _, sv := range r.Saves {
			fmt.Fprintf(&b, "  saving %s: %d writers, %s\n", sv.Name, sv.Writers, humanize.IBytes(uint64(sv.Bytes)))
			for _, missing := range sv.Missing {
				fmt.Fprintf(&b, "    waits for %s\n", missing)
			}
		}
		for _, hint := range r.Hints {
			fmt.Fprintf(&b, "  hint: %s\n", hint)
		}
	}
	return b.Bytes()
}

// metrics is the text exposition format of Prometheus.
func (m *mount) metrics() []byte {
	rep := m.status(everything) // only numbers of it
	saves, writers := 0, 0
	for _, r := range rep.Runs {
		saves += len(r.Saves)
		for _, sv := range r.Saves {
			writers += sv.Writers
		}
	}
	damaged := int64(0)
	for _, r := range m.store.List(true).Runs {
		for _, c := range r.Checkpoints {
			if c.Damaged {
				damaged++
			}
		}
	}
	passthrough := int64(0)
	if rep.Passthrough {
		passthrough = 1
	}
	var b bytes.Buffer
	for _, metric := range []struct {
		name, kind, help string
		value            int64
	}{
		{"commits_total", "counter", "Checkpoints committed since the mount.", rep.Commits},
		{"pruned_total", "counter", "Checkpoints pruned since the mount.", rep.Pruned},
		{"unknown_ends_total", "counter", "Files closed by a process whose fate could not be learned.", rep.UnknownEnds},
		{"panics_total", "counter", "Requests answered with EIO after a panic.", m.panics.Load()},
		{"open_saves", "gauge", "Saves that are not committed.", int64(saves)},
		{"open_writers", "gauge", "Files of checkpoints that are open for writing.", int64(writers)},
		{"trash_bytes", "gauge", "Bytes in the trash.", rep.Trash.Bytes},
		{"quarantine_files", "gauge", "Files held back.", int64(rep.Quarantine.Entries)},
		{"damaged_checkpoints", "gauge", "Checkpoints, earlier versions among them, that a verification found damaged.", damaged},
		{"passthrough", "gauge", "1 when the kernel reads and writes backing files itself.", passthrough},
	} {
		fmt.Fprintf(&b, "# HELP ckptfs_%s %s\n# TYPE ckptfs_%s %s\nckptfs_%s %d\n",
			metric.name, metric.help, metric.name, metric.kind, metric.name, metric.value)
	}
	return b.Bytes()
}
