package policy

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	const h = time.Hour
	tests := []struct {
		text string
		want time.Duration
		back string
	}{
		{"0", 0, "0s"}, {"1s", time.Second, "1s"}, {"500ms", 500 * time.Millisecond, "500ms"},
		{"10m", 10 * time.Minute, "10m"}, {"90m", 90 * time.Minute, "1h30m"}, {"1h0m5s", h + 5*time.Second, "1h0m5s"},
		{"1d", 24 * h, "24h"}, {"7d", 168 * h, "7d"}, {"2w", 336 * h, "14d"}, {"1.5d", 36 * h, "36h"}, {".5w", 84 * h, "84h"},
		{"1w2d12h", 228 * h, "228h"}, {"12h1d", 36 * h, "36h"},
	}
	for _, test := range tests {
		got, err := ParseDuration(test.text)
		if err != nil || got != test.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", test.text, got, err, test.want)
		}
		if back := formatDuration(got); back != test.back {
			t.Errorf("formatDuration(%v) = %q, want %q", got, back, test.back)
		}
	}
	for _, text := range []string{"", "d", "7", "7days", "-1d", "1d-2h", "1 d", "1e3d", "9999999w", "1.2.3d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		text string
		want int64
		back string
	}{
		{"50GB", 50e9, "50GB"}, {"50 gb", 50e9, "50GB"}, {"1.5TiB", 3 << 39, "1536GiB"}, {"4096", 4096, "4KiB"},
		{"1000", 1000, "1kB"}, {"1,234", 1234, "1234B"}, {"9223372036854775807", 1<<63 - 1, "9223372036854775807B"},
	}
	for _, test := range tests {
		got, err := ParseSize(test.text)
		if err != nil || got != test.want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", test.text, got, err, test.want)
		}
		if back := formatSize(got); back != test.back {
			t.Errorf("formatSize(%d) = %q, want %q", got, back, test.back)
		}
	}
	for _, text := range []string{"", "GB", "-1GB", "50 apples", "1.2.3GB", "9223372036854775808", "20%"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestShare(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64 // of 1000 bytes
		back string
	}{
		{"10%", 100, "10%"}, {" 0.5 %", 5, "0.5%"}, {"300", 300, "300B"}, {"2kB", 2000, "2kB"}, {"0%", 0, "0B"},
	} {
		got, err := parseShare(test.text)
		if err != nil || got.Of(1000) != test.want || got.String() != test.back {
			t.Errorf("parseShare(%q) = %v, of 1000 bytes %d, %v; want %s, %d", test.text, got, got.Of(1000), err, test.back, test.want)
		}
	}
	for _, text := range []string{"", "%", "-1%", "100%", "NaN%", "Inf%", "ten%"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("parseShare(%q) = %v, want an error", text, got)
		}
	}
}
