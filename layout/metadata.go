package layout

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"ckptfs/layout/format"
)

// metadata says where a checkpoint keeps its progress and metrics.
type metadata struct {
	sources []source
	inName  *regexp.Regexp // finds metrics in the name: the groups "metric" and "value"
}

// A source is one file of a checkpoint and the paths of what it knows
// (format.Scalars.Get); an empty path is not there.
type source struct {
	file            string // pattern; the first file that matches
	epoch           string // the epoch that training is in, or that it has just finished
	epochsDone      string // how many epochs are finished; 2.5 is in the middle of the third
	step            string // within the epoch
	globalStep      string
	batchesPerEpoch string
	metricKeys      []string
	bestName        string // the name, or the path, of the best checkpoint so far

	epochFrom    int64 // the number of the first epoch
	stepFrom     int64 // the number of the first global step
	zeroIsBefore bool  // step 0 is the start of the epoch; else the end of it
}

// progress combines what the name says, which wins, with what the files say; of
// two files the first that knows a thing.
//
// Steps are counted within an epoch, from 1, and 0 stands for an epoch that is
// finished; epochs are counted from 1. So epoch 3 step 4 with 10 batches per
// epoch is global step 24, and the end of epoch 2 is 20.
func (md metadata) progress(m Match, scalars []format.Scalars) Progress {
	var p Progress
	for i, src := range md.sources {
		p = p.or(src.progress(scalars[i]))
	}
	if m.Epoch != nil || m.Step != nil { // of one save, so both from the name or none
		named := Progress{Epoch: m.Epoch, Step: m.Step}
		if m.Step == nil && p.Epoch != nil && m.Epoch != nil && *p.Epoch == *m.Epoch {
			named.Step = p.Step
		}
		if m.Epoch == nil {
			named.Epoch = p.Epoch
		}
		p.Epoch, p.Step = named.Epoch, named.Step
	}
	if m.GlobalStep != nil {
		p.GlobalStep = m.GlobalStep
	}
	if p.GlobalStep == nil {
		p.GlobalStep = globalStep(p)
	}
	return p
}

// or takes from q what p does not know. An epoch and the step within it belong
// together.
func (p Progress) or(q Progress) Progress {
	if p.Epoch == nil {
		p.Epoch, p.Step = q.Epoch, q.Step
	}
	if p.GlobalStep == nil {
		p.GlobalStep = q.GlobalStep
	}
	if p.BatchesPerEpoch == nil {
		p.BatchesPerEpoch = q.BatchesPerEpoch
	}
	return p
}

func (src source) progress(s format.Scalars) (p Progress) {
	get := func(key string) any {
		if key == "" || s == nil {
			return nil
		}
		v, _ := s.Get(key)
		return v
	}
	p.Epoch, p.Step = integer(get(src.epoch)), integer(get(src.step))
	p.GlobalStep = integer(get(src.globalStep))
	p.BatchesPerEpoch = integer(get(src.batchesPerEpoch))
	if p.Epoch != nil {
		*p.Epoch += 1 - src.epochFrom
		if src.zeroIsBefore && p.Step != nil && *p.Step == 0 {
			*p.Epoch-- // and step 0 of the one before is its end
		}
		if *p.Epoch < 1 {
			p.Epoch, p.Step = nil, nil
		}
	}
	if done, ok := number64(get(src.epochsDone)); ok && p.Epoch == nil {
		p.Epoch, p.Step = finished(done + 1 - float64(src.epochFrom))
	}
	if p.GlobalStep != nil {
		*p.GlobalStep += 1 - src.stepFrom
	}
	return p
}

// finished is where training stands after so many epochs. In the middle of one,
// its step is not known.
func finished(epochs float64) (epoch, step *int64) {
	if !(epochs > 0 && epochs < 1<<53) {
		return nil, nil
	}
	n := int64(math.Ceil(epochs))
	if float64(n) == epochs {
		step = new(int64)
	}
	return &n, step
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

// metrics are the numbers under the layout's metric keys and in the name, nil
// when there are none. NaN and infinities are left out: nothing can be compared
// with them. A metric is called as the last part of its path is.
func (md metadata) metrics(m Match, scalars []format.Scalars) map[string]float64 {
	var all map[string]float64
	note := func(name string, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		if all == nil {
			all = map[string]float64{}
		}
		if _, known := all[name]; !known {
			all[name] = v
		}
	}
	for i, src := range md.sources {
		for _, key := range src.metricKeys {
			for path, v := range scalars[i].All(key) {
				if f, ok := number64(v); ok {
					note(path[strings.LastIndexByte(path, '.')+1:], f)
				}
			}
		}
	}
	if md.inName != nil {
		for _, found := range md.inName.FindAllStringSubmatch(m.Name, -1) {
			if v, err := strconv.ParseFloat(found[md.inName.SubexpIndex("value")], 64); err == nil {
				note(found[md.inName.SubexpIndex("metric")], v)
			}
		}
	}
	return all
}

// best is the name of the checkpoint that this one calls the best so far.
func (md metadata) best(scalars []format.Scalars) string {
	for i, src := range md.sources {
		if src.bestName == "" || scalars[i] == nil {
			continue
		}
		v, _ := scalars[i].Get(src.bestName)
		if name, ok := v.(string); ok && name != "" {
			name = strings.TrimRight(name, "/")
			return name[strings.LastIndexByte(name, '/')+1:]
		}
	}
	return ""
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
