package layout

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func at(n int64) *int64 { return &n }

func enstack(t testing.TB) *Layout {
	t.Helper()
	l, err := ByName(Builtin(), "enstack")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMatchEnstack(t *testing.T) {
	l := enstack(t)
	for _, c := range []struct {
		name string
		want Match // the zero Match: no match
	}{
		{"last_checkpoint", Match{Kind: Last}},
		{"recovery_checkpoint", Match{Kind: Recovery}},
		{"best_model", Match{Kind: Best}},
		{"swa_model", Match{Kind: Final}},
		{"checkpoint_epoch3_step500", Match{Kind: MidEpoch, Epoch: at(3), Step: at(500)}},
		{"checkpoint_epoch0012_step7", Match{Kind: MidEpoch, Epoch: at(12), Step: at(7)}},
		{".backup_last_checkpoint", Match{Kind: Backup, Of: "last_checkpoint"}},
		{".backup_checkpoint_epoch3_step500",
			Match{Kind: Backup, Epoch: at(3), Step: at(500), Of: "checkpoint_epoch3_step500"}},
		{".tmp_best_model_k2x_9ab_", Match{Kind: Temp, Of: "best_model"}},
		{".tmp_checkpoint_epoch1_step4_abcdefgh",
			Match{Kind: Temp, Epoch: at(1), Step: at(4), Of: "checkpoint_epoch1_step4"}},

		{"last_checkpoint2", Match{}},
		{"my_last_checkpoint", Match{}},
		{"last_checkpoint\n", Match{}},
		{"checkpoint_epoch3", Match{}},
		{"checkpoint_epoch3_step", Match{}},
		{"checkpoint_epoch-3_step5", Match{}},
		{"checkpoint_epoch99999999999999999999_step1", Match{}}, // beyond any count
		{"checkpoint-500", Match{}},
		{"logs", Match{}},
		{".backup_logs", Match{}}, // a backup of nothing that we know
		{".backup_.backup_last_checkpoint", Match{}},
		{".backup_.tmp_last_checkpoint_abcdefgh", Match{}},
		{".tmp_last_checkpoint_short", Match{}},
		{".tmp_last_checkpoint_ABCDEFGH", Match{}},
		{"latest", Match{}},
		{"", Match{}},
	} {
		if c.want.Kind != "" {
			c.want.Type, c.want.Name = Dir, c.name
		}
		got, ok := l.Match(c.name, true)
		if ok != (c.want.Kind != "") {
			t.Errorf("%q: matched is %v", c.name, ok)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q: %s", c.name, d)
		}
		// Everything in this layout is a directory.
		if _, ok := l.Match(c.name, false); ok {
			t.Errorf("%q: matched as a file", c.name)
		}
	}
}

func TestMatchFileEntries(t *testing.T) {
	l, err := Parse("test", []byte(`{name: files, entries: [
		{kind: last, type: file, name: 'last\.pt'}, {kind: last, type: dir, name: 'last'}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, isDir := range map[string]bool{"last.pt": false, "last": true} {
		if m, ok := l.Match(name, isDir); !ok || m.Kind != Last {
			t.Errorf("%s: %v, %v", name, m, ok)
		}
		if _, ok := l.Match(name, !isDir); ok {
			t.Errorf("%s matched as the other type", name)
		}
	}
}

func TestIgnored(t *testing.T) {
	l := enstack(t)
	for name, want := range map[string]bool{
		"logs": true, "training_history.png": true, "logs2": false, "last_checkpoint": false, "": false,
	} {
		if got := l.Ignored(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
