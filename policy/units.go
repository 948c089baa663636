package policy

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

const day = 24 * time.Hour

// daysAndWeeks are the units that Go's durations lack.
var daysAndWeeks = regexp.MustCompile(`(\d+\.?\d*|\.\d+)([dw])`)

// ParseDuration reads Go's durations with days (24 hours) and weeks added:
// "90s", "24h", "7d", "1w2d12h". It refuses what is negative.
func ParseDuration(s string) (time.Duration, error) {
	inHours := daysAndWeeks.ReplaceAllStringFunc(s, func(part string) string {
		hours := map[byte]float64{'d': 24, 'w': 7 * 24}[part[len(part)-1]]
		n, _ := strconv.ParseFloat(part[:len(part)-1], 64) // the expression lets only numbers through
		return strconv.FormatFloat(n*hours, 'f', -1, 64) + "h"
	})
	d, err := time.ParseDuration(inHours)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration; write a number and a unit, such as 500ms, 10m, 24h, 7d or 2w", s)
	}
	return d, nil
}

// formatDuration writes d in the fewest characters that ParseDuration reads
// back exactly: "7d", "24h", "1h30m".
func formatDuration(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ParseSize reads a number of bytes: "50GB", "1.5 TiB", "4096".
func ParseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size; write a number and a unit, such as 500MB, 50GB or 1.5TiB", s)
	}
	return int64(n), nil
}

// Share is an amount of space: bytes, or a part of the file system in percent.
// The zero value is none.
type Share struct {
	Bytes   int64
	Percent float64
}

func (s Share) set() bool { return s != Share{} }

// Of is the share in bytes of a file system of a size.
func (s Share) Of(total int64) int64 {
	return max(s.Bytes, int64(float64(total)*s.Percent/100))
}

// String writes s so that parseShare reads it back exactly.
func (s Share) String() string {
	if s.Percent != 0 {
		return strconv.FormatFloat(s.Percent, 'f', -1, 64) + "%"
	}
	return formatSize(s.Bytes)
}

// parseShare reads a size, or a part such as "10%".
func parseShare(s string) (Share, error) {
	number, isPart := strings.CutSuffix(s, "%")
	if !isPart {
		n, err := ParseSize(s)
		return Share{Bytes: n}, err
	}
	percent, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(percent >= 0 && percent < 100) {
		return Share{}, fmt.Errorf("%q is not a part of the disk; write 0%% or more and less than 100%%, or a size such as 5GB", s)
	}
	return Share{Percent: percent}, nil
}

// sizeUnits are tried for a size that they divide.
var sizeUnits = []struct {
	bytes int64
	name  string
}{
	{humanize.PByte, "PB"}, {humanize.PiByte, "PiB"},
	{humanize.TByte, "TB"}, {humanize.TiByte, "TiB"},
	{humanize.GByte, "GB"}, {humanize.GiByte, "GiB"},
	{humanize.MByte, "MB"}, {humanize.MiByte, "MiB"},
	{humanize.KByte, "kB"}, {humanize.KiByte, "KiB"},
}

// formatSize writes n so that ParseSize reads it back exactly; unlike
// humanize.Bytes it rounds nothing.
func formatSize(n int64) string {
	shortest := fmt.Sprintf("%dB", n)
	for _, unit := range sizeUnits {
		if n > 0 && n%unit.bytes == 0 {
			if s := fmt.Sprintf("%d%s", n/unit.bytes, unit.name); len(s) < len(shortest) {
				shortest = s
			}
		}
	}
	return shortest
}
