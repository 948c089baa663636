package layout

import (
	"cmp"
	"fmt"
)

// Progress says how far training had come. A nil number is unknown.
type Progress struct {
	Epoch           *int64 `json:"epoch"`       // 1-based
	Step            *int64 `json:"step"`        // within the epoch; 0 = the epoch is complete
	GlobalStep      *int64 `json:"global_step"` // over the whole run
	BatchesPerEpoch *int64 `json:"batches_per_epoch,omitempty"`
}

// Known reports whether anything at all is known.
func (p Progress) Known() bool { return p.Epoch != nil || p.GlobalStep != nil }

// Compare orders by training progress: negative when p is behind q. The global
// step decides where both have one; else (epoch, step), with step 0 counting
// as after every step of its epoch; what is unknown is behind what is known.
func (p Progress) Compare(q Progress) int {
	if p.GlobalStep != nil && q.GlobalStep != nil {
		return cmp.Compare(*p.GlobalStep, *q.GlobalStep)
	}
	if p.Epoch != nil && q.Epoch != nil {
		if c := cmp.Compare(*p.Epoch, *q.Epoch); c != 0 {
			return c
		}
		return cmp.Compare(p.stepRank(), q.stepRank())
	}
	return cmp.Compare(p.knownRank(), q.knownRank())
}

// String is how messages name a progress: "epoch 3 step 4", "end of epoch 2",
// "step 500".
func (p Progress) String() string {
	switch {
	case p.Epoch != nil && p.Step != nil && *p.Step == 0:
		return fmt.Sprintf("end of epoch %d", *p.Epoch)
	case p.Epoch != nil && p.Step != nil:
		return fmt.Sprintf("epoch %d step %d", *p.Epoch, *p.Step)
	case p.Epoch != nil && p.GlobalStep != nil:
		return fmt.Sprintf("step %d, in epoch %d", *p.GlobalStep, *p.Epoch)
	case p.Epoch != nil:
		return fmt.Sprintf("epoch %d", *p.Epoch)
	case p.GlobalStep != nil:
		return fmt.Sprintf("step %d", *p.GlobalStep)
	}
	return "unknown progress"
}

func (p Progress) stepRank() int64 {
	switch {
	case p.Step == nil:
		return -1
	case *p.Step == 0:
		return 1<<63 - 1
	}
	return *p.Step
}

func (p Progress) knownRank() int64 {
	switch {
	case p.Epoch != nil:
		return 2
	case p.GlobalStep != nil:
		return 1
	}
	return 0
}
