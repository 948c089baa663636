package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// benchmark is `bench --json`. Throughput is in bytes per second, time in seconds.
type benchmark struct {
	Size        int64        `json:"size"` // bytes
	Rounds      int          `json:"rounds"`
	Passthrough bool         `json:"passthrough"`
	Save        *comparison  `json:"save"` // null where it was not measured
	Load        *comparison  `json:"load"`
	Checkpoints int          `json:"checkpoints"`
	Sides       []string     `json:"sides"` // the disk, ckptfs, and others
	Cases       []caseResult `json:"cases"`
	Memory      *memoryUse   `json:"memory"` // of ckptfs, in the end
	LeftOut     []leftOut    `json:"left_out"`
	Machine     machine      `json:"machine"`
}

// comparison holds the fastest rounds.
type comparison struct {
	Direct  float64 `json:"direct"`
	Mounted float64 `json:"mounted"`
	Ratio   float64 `json:"ratio"` // mounted to direct: 1 is no loss
}

// caseResult is one case on every side that it was measured on, the disk first.
type caseResult struct {
	Name  string       `json:"name"`
	What  string       `json:"what"`
	Bytes int64        `json:"bytes"` // that it moves; 0 where that is not what counts
	Goal  float64      `json:"goal"`  // the least ratio that is aimed at, 0 for none
	Sides []sideResult `json:"sides"`
}

// sideResult is what one side took. A ratio is the time of the disk to that of
// the side, 0 where the disk has none.
type sideResult struct {
	Name        string  `json:"name"`
	Fastest     float64 `json:"fastest"`
	Median      float64 `json:"median"`
	Ratio       float64 `json:"ratio"` // of the fastest
	MedianRatio float64 `json:"median_ratio"`
}

// leftOut is a case, or another file system, that was not measured.
type leftOut struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// fill works the results out.
func (b *bench) fill(r *benchmark) {
	r.Cases, r.LeftOut = []caseResult{}, append([]leftOut{}, b.leftOut...)
	for _, c := range b.cases {
		res := caseResult{Name: c.name, What: c.what, Goal: c.goal}
		if c.data {
			res.Bytes = b.bytes
		}
		disk := b.sides[0].times[c.name]
		for _, s := range b.sides {
			if times := s.times[c.name]; len(times) > 0 && !s.gaveUp[c.name] {
				res.Sides = append(res.Sides, summarize(s.name, times, disk))
			}
		}
		r.Cases = append(r.Cases, res)
		switch c.name {
		case "save":
			r.Save = res.comparison()
		case "load":
			r.Load = res.comparison()
		}
	}
}

func summarize(name string, times, disk []time.Duration) sideResult {
	r := sideResult{Name: name, Fastest: slices.Min(times).Seconds(), Median: median(times).Seconds()}
	if len(disk) > 0 {
		r.Ratio = float64(slices.Min(disk)) / float64(max(slices.Min(times), 1))
		r.MedianRatio = float64(median(disk)) / float64(max(median(times), 1))
	}
	return r
}

// median is the middle one; of an even number, the later of the two.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// side finds a side by name.
func (c caseResult) side(name string) (sideResult, bool) {
	i := slices.IndexFunc(c.Sides, func(s sideResult) bool { return s.Name == name })
	if i < 0 {
		return sideResult{}, false
	}
	return c.Sides[i], true
}

// rate is a time as bytes per second.
func (c caseResult) rate(seconds float64) float64 { return float64(c.Bytes) / max(seconds, 1e-9) }

// comparison is a case as it was told before there were others.
func (c caseResult) comparison() *comparison {
	disk, _ := c.side("disk")
	mounted, _ := c.side("ckptfs")
	return &comparison{c.rate(disk.Fastest), c.rate(mounted.Fastest), mounted.Ratio}
}

// machine is where it was measured, without which no figure means anything.
type machine struct {
	Date       string `json:"date"`
	Version    string `json:"version"` // of ckptfs
	Processors int    `json:"processors"`
	Processor  string `json:"processor"`
	Memory     int64  `json:"memory"` // bytes
	Kernel     string `json:"kernel"`
	Filesystem string `json:"filesystem"`
	Load       string `json:"load"` // when it began, over the last minute
}

func lookAtMachine(dir string) machine {
	m := machine{Date: time.Now().UTC().Format(time.DateOnly), Version: versionName(), Processors: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	m.Processor = fieldOf("/proc/cpuinfo", "model name")
	var kib int64
	if _, err := fmt.Sscanf(fieldOf("/proc/meminfo", "MemTotal"), "%d kB", &kib); err == nil {
		m.Memory = kib << 10
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(load), " ")
	}
	if list, err := mounted(); err == nil {
		m.Filesystem = covering(list, dir).fstype
	}
	return m
}

// fieldOf finds "name: value" in a file of /proc; "" where it is not told.
func fieldOf(file, name string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
