package store

import (
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A run that is renamed while nothing is mounted takes along what is kept of it
// elsewhere: saves, earlier versions, trash, pins; for good (P2).
func TestRunMovedWhileUnmounted(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("codebert"))
		b.seed(map[string]content{"codebert/" + last: {"one", 1, 0}, "codebert/recovery_checkpoint": {"spare", 1, 1}})
		b.seed(map[string]content{"codebert/" + last: {"two", 2, 0}})
		b.must(p.removeAll("codebert/recovery_checkpoint"))
		b.must(p.mkdir("codebert/checkpoint_epoch2_step5"))
		b.must(p.write("codebert/checkpoint_epoch2_step5/config.json", []byte("{}")))
		b.must(p.write("codebert/"+last+"/config.json", content{"three", 3, 0}.files()["config.json"]))
		b.crash()
		p.die()
		b.must(os.WriteFile(b.backing(pinsFile), []byte(`{"codebert/`+last+`": "mine"}`), 0o600))
		b.must(os.Rename(b.backing("codebert"), b.backing("unixcoder")))
		for range 2 { // the second mount finds it written down
			b.start()
			q := b.process()
			if !q.has("unixcoder", "checkpoint_epoch2_step5") || !q.exists("unixcoder/checkpoint_epoch2_step5/config.json") {
				t.Error("the save of a new checkpoint is gone")
			}
			if data, err := q.read("unixcoder/" + last + "/config.json"); err != nil || !strings.Contains(string(data), "three") {
				t.Errorf("the save of a committed one is gone: config.json is %q, %v", data, err)
			}
			b.shows("moved", map[string]string{"unixcoder/resume": "two", "unixcoder/by-epoch/1": "one"})
			if trash := b.inTrash(); !cmp.Equal(trash, []string{"unixcoder/recovery_checkpoint"}) {
				t.Errorf("trash: %v", trash)
			}
			if !b.pinned("unixcoder/" + last) {
				t.Error("the pin is gone")
			}
			b.check("moved")
			b.crash()
		}
		b.start()
	})
}

// A save whose run is nowhere stays staged and is listed; no name leads to it, also
// when there is a new run at its path; it goes on when the run is back, and is
// discarded after incomplete_ttl like any other.
func TestSaveOfAMissingRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.mkdir("codebert"))
		b.must(p.mkdir("codebert/" + last))
		b.must(p.write("codebert/"+last+"/config.json", []byte("{}")))
		b.crash()
		p.die()
		b.must(os.Rename(b.backing("codebert"), b.backing("elsewhere")))
		b.start()
		listed := func() (out []string) {
			for _, r := range b.Status().Runs {
				for _, sv := range r.Saves {
					out = append(out, r.Path+"/"+sv.Name+": "+strings.Join(sv.Missing, "; "))
				}
			}
			return out
		}
		if got := listed(); !cmp.Equal(got, []string{"codebert/" + last + ": " + missingRun}) {
			t.Errorf("listed: %q", got)
		}
		b.must(p.mkdir("codebert"))
		if p.exists("codebert/" + last) {
			t.Error("a new run shows the save of the one that is gone")
		}
		b.must(p.rmdir("codebert"))
		b.crash()
		b.must(os.Rename(b.backing("elsewhere"), b.backing("codebert")))
		b.start()
		if _, err := p.read("codebert/" + last + "/config.json"); err != nil {
			t.Errorf("the run is back, and its save is not: %v", err)
		}
		b.crash()
		b.must(os.Remove(b.backing("codebert")))
		b.start()
		b.pass(b.cfg.Save.IncompleteTTL + 2*time.Minute)
		if left := b.left(stagingDir); len(left) > 0 || len(listed()) > 0 {
			t.Errorf("after incomplete_ttl there is %v, %q", left, listed())
		}
	})
}

// inTrash lists the checkpoints in the trash.
func (b *bench) inTrash() (out []string) {
	for _, t := range b.trashOldestFirst() {
		out = append(out, path.Join(t.Run, t.Name))
	}
	return out
}
