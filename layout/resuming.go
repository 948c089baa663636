package layout

import "fmt"

// Resuming says in words how much of its epoch is done, and where training goes
// on from here.
func (p Progress) Resuming() string {
	switch {
	case p.Epoch != nil && p.Step != nil && *p.Step == 0:
		return fmt.Sprintf("epoch %d is complete; resuming starts epoch %d", *p.Epoch, *p.Epoch+1)
	case p.Epoch != nil && p.Step != nil:
		return fmt.Sprintf("%s; resuming continues epoch %d at step %d", p.done(), *p.Epoch, *p.Step)
	case p.Epoch != nil && p.GlobalStep != nil:
		return fmt.Sprintf("step %d of the run, in epoch %d; resuming continues from there", *p.GlobalStep, *p.Epoch)
	case p.Epoch != nil:
		return fmt.Sprintf("epoch %d; nothing tells how much of it is done", *p.Epoch)
	case p.GlobalStep != nil:
		return fmt.Sprintf("step %d of the run; resuming continues from there", *p.GlobalStep)
	}
	return "nothing tells how far training had come"
}

// done is how much of the epoch is, of which there is at least a step.
func (p Progress) done() string {
	epoch, step := *p.Epoch, *p.Step
	if p.BatchesPerEpoch == nil || *p.BatchesPerEpoch < step {
		return fmt.Sprintf("epoch %d is at step %d, of how many is not known", epoch, step)
	}
	batches := *p.BatchesPerEpoch
	remain := fmt.Sprintf("%d batches remain", batches-step)
	switch batches - step {
	case 0:
		remain = "no batch remains"
	case 1:
		remain = "1 batch remains"
	}
	return fmt.Sprintf("epoch %d is %d %% done, %s", epoch, int(100*(float64(step)/float64(batches))), remain)
}
