package store

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkCatalog asks a store of 10,000 checkpoints what the kernel asks of it,
// and what a commit and a command do: go test -bench Catalog ./fs/store.
func BenchmarkCatalog(b *testing.B) {
	const newest = "checkpoint_epoch100_step100"
	s, err := mountOnce(manyCheckpoints(b, 10_000), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, ask := range []struct {
		name string
		ask  func() bool
	}{
		{"list the run", func() bool { entries, err := s.ReadDir(""); return err == nil && len(entries) == 10_000 }},
		{"list a checkpoint", func() bool {
			entries, err := s.ReadDir(newest)
			return err == nil && len(entries) == len(checkpointFiles)
		}},
		{"look up a checkpoint", func() bool { a, err := s.Lookup(newest, 1); return err == nil && a.Checkpoint }},
		{"look up a file", func() bool { a, err := s.Lookup(newest+"/config.json", 1); return err == nil && a.Size > 0 }},
		{"attributes of a checkpoint", func() bool { _, err := s.Attr(newest, Ident{}); return err == nil }},
		{"an attribute that is not there", func() bool {
			_, err := s.Getxattr(newest+"/config.json", Ident{}, "security.selinux", nil)
			return errors.Is(err, unix.ENODATA)
		}},
		{"look up latest/", func() bool { t, ok := s.View("", "latest"); return ok && t.Version.Name == newest }},
		{"look up latest/ after a commit", func() bool {
			r := s.runAt("")
			rec := s.named(newest)
			s.mu.Lock()
			r.stale.add(rec)
			s.mu.Unlock()
			_, ok := s.View("", "latest")
			return ok
		}},
		{"look up by-epoch/100", func() bool { return s.Numbered("", ByEpoch, "100") != nil }},
		{"list by-epoch/", func() bool { return len(s.Numbers("", ByEpoch)) == 100 }},
		{"a file of latest/", func() bool {
			t, _ := s.View("", "latest")
			a, err := s.VersionAttr(t.Version, "config.json")
			return err == nil && a.Size > 0
		}},
		{"list --all", func() bool { return len(s.List(true).Runs) == 1 }},
		{"explain", func() bool { return len(s.Explain()) == 1 }},
		{"status", func() bool { return len(s.Status().Runs) == 1 }},
	} {
		b.Run(ask.name, func(b *testing.B) {
			ask.ask() // what is kept for the next time is not measured
			for b.Loop() {
				if !ask.ask() {
					b.Fatal("another answer was expected")
				}
			}
		})
	}
}
