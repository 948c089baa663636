package layout

import "math"

// metadata says where a checkpoint keeps its progress and metrics: the keys at
// the top of one file. An empty key is not there.
type metadata struct {
	file            string
	epoch           string
	step            string
	batchesPerEpoch string
	metricKeys      []string
}

// progress combines what the name says, which wins, with what the file says.
//
// Steps are counted within an epoch, from 1, and 0 stands for an epoch that is
// finished; epochs are counted from 1. So epoch 3 step 4 with 10 batches per
// epoch is global step 24, and the end of epoch 2 is 20.
func (md metadata) progress(m Match, scalars map[string]any) Progress {
	p := Progress{
		Epoch:           integer(scalars[md.epoch]),
		Step:            integer(scalars[md.step]),
		BatchesPerEpoch: integer(scalars[md.batchesPerEpoch]),
	}
	if m.Epoch != nil {
		p.Epoch = m.Epoch
	}
	if m.Step != nil {
		p.Step = m.Step
	}
	p.GlobalStep = globalStep(p)
	return p
}

func globalStep(p Progress) *int64 {
	if p.Epoch == nil || p.Step == nil || p.BatchesPerEpoch == nil {
		return nil
	}
	epoch, step, batches := *p.Epoch, *p.Step, *p.BatchesPerEpoch
	if step == 0 {
		step = batches
	}
	if epoch < 1 || batches < 1 || epoch > (math.MaxInt64-step)/batches {
		return nil
	}
	global := (epoch-1)*batches + step
	return &global
}

// metrics are the numbers under the layout's metric keys, nil when there are
// none. NaN and infinities are left out: nothing can be compared with them.
func (md metadata) metrics(scalars map[string]any) map[string]float64 {
	var all map[string]float64
	for _, key := range md.metricKeys {
		v, ok := number64(scalars[key])
		if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if all == nil {
			all = map[string]float64{}
		}
		all[key] = v
	}
	return all
}

// integer is v as a count, nil when it is none.
func integer(v any) *int64 {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case float64:
		n = int64(v)
		if v > 1<<53 || float64(n) != v {
			return nil
		}
	default:
		return nil
	}
	if n < 0 {
		return nil
	}
	return &n
}

func number64(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
