package policy

import (
	"strings"
	"testing"
)

func TestBehind(t *testing.T) {
	tests := []struct {
		name  string
		cs    []Checkpoint
		steps int64
		known bool
		hint  string // what it contains; "" = no hint
	}{
		{"empty run", nil, 0, false, ""},
		{"the same one", []Checkpoint{last(2)}, 0, true, ""},
		{"level with it", []Checkpoint{recovery(3, 4), midEpoch(3, 4)}, 0, true, ""},
		{"one step", []Checkpoint{last(2), midEpoch(3, 1)}, 1, true, "1 step behind"},
		{"steps of one epoch", []Checkpoint{
			recovery(3, 4).but(noGlobalStep), midEpoch(3, 6).but(noGlobalStep)}, 2, true, "2 steps behind"},
		{"without steps it says where both are", []Checkpoint{
			last(2).but(noGlobalStep), midEpoch(3, 4).but(noGlobalStep)}, 0, false,
			"resume/ is behind latest/ (last_checkpoint is end of epoch 2, checkpoint_epoch3_step4 is epoch 3 step 4)"},
		{"without progress it says when", []Checkpoint{
			last(2).but(unknown), midEpoch(3, 4).but(unknown)}, 0, false,
			"(checkpoint_epoch3_step4 was committed after last_checkpoint)"},
		{"one of unknown progress", []Checkpoint{last(2).but(unknown), midEpoch(3, 4)}, 0, false,
			"(the progress of last_checkpoint is unknown, checkpoint_epoch3_step4 is epoch 3 step 4)"},
		{"steps that contradict the epochs are not told", []Checkpoint{
			last(2).but(func(c *Checkpoint) { c.GlobalStep = new(int64(24)) }), midEpoch(3, 4), midEpoch(1, 4).but(noGlobalStep)}, 0, false,
			"resume/ is behind latest/ (last_checkpoint is end of epoch 2, checkpoint_epoch3_step4 is epoch 3 step 4)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			steps, known, hint := Behind(test.cs, Resolve(test.cs, Default()))
			if steps != test.steps || known != test.known {
				t.Errorf("Behind = %d, %t; want %d, %t", steps, known, test.steps, test.known)
			}
			if (hint == "") != (test.hint == "") || !strings.Contains(hint, test.hint) {
				t.Errorf("hint = %q, want one with %q", hint, test.hint)
			}
		})
	}
}
