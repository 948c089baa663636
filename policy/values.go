package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ckptfs/layout"
)

// value binds one key of the configuration to its field: how its text is read
// and written. Each error says what is allowed.
type value struct {
	parse  func(*Config, []string) error
	format func(*Config) string // YAML; "" when the key is not set
	copy   func(to, from *Config)
	list   bool // a sequence; else parse gets one word
}

// scalar is the value of a field that is one word.
func scalar[T any](field func(*Config) *T, parse func(string) (T, error), format func(T) string) value {
	return value{
		parse: func(c *Config, words []string) error {
			v, err := parse(words[0])
			if err != nil {
				return err
			}
			*field(c) = v
			return nil
		},
		format: func(c *Config) string { return format(*field(c)) },
		copy:   func(to, from *Config) { *field(to) = *field(from) },
	}
}

// text takes any string.
func text(field func(*Config) *string) value {
	return scalar(field, func(s string) (string, error) { return s, nil }, quote)
}

// choice takes one of a few words.
func choice(field func(*Config) *string, allowed ...string) value {
	return scalar(field, func(s string) (string, error) {
		if !slices.Contains(allowed, s) {
			return "", fmt.Errorf("%q is not one of %s", s, strings.Join(allowed, ", "))
		}
		return s, nil
	}, quote)
}

// component takes the name of a view: one path component, or "".
func component(field func(*Config) *string) value {
	return scalar(field, func(s string) (string, error) {
		switch {
		case s == "." || s == ".." || strings.ContainsAny(s, "/\x00") || len(s) > 255:
			return "", fmt.Errorf(`%q is not a file name; write one without a slash, or "" to hide the view`, s)
		case s == ".ckptfs":
			return "", fmt.Errorf("%q is where ckptfs keeps its own state; choose another name", s)
		case strings.HasPrefix(s, "@"):
			return "", fmt.Errorf("%q begins with @, as a view does that a real entry hides; choose another name", s)
		}
		return s, nil
	}, quote)
}

func boolean(field func(*Config) *bool) value {
	return scalar(field, func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, fmt.Errorf("%q is not true or false", s)
		}
		return s == "true", nil
	}, strconv.FormatBool)
}

func duration(field func(*Config) *time.Duration) value {
	return scalar(field, ParseDuration, formatDuration)
}

// age is a duration that is a limit; without one it is not set.
func age(field func(*Config) *time.Duration) value {
	return scalar(field, func(s string) (time.Duration, error) {
		d, err := ParseDuration(s)
		if err == nil && d == 0 {
			err = fmt.Errorf("%q would keep nothing; leave the key out for no limit", s)
		}
		return d, err
	}, unlessZero(formatDuration))
}

// shortestPeriod bounds what is done again and again.
const shortestPeriod = time.Hour

// period is how often something is done; without one it never is.
func period(field func(*Config) *time.Duration) value {
	return scalar(field, func(s string) (time.Duration, error) {
		d, err := ParseDuration(s)
		if err == nil && d < shortestPeriod {
			err = fmt.Errorf("%q is less than %s; write more, or leave the key out for never", s, formatDuration(shortestPeriod))
		}
		return d, err
	}, unlessZero(formatDuration))
}

// share is an amount of space that is a limit; without one it is not set.
func share(field func(*Config) *Share) value {
	return scalar(field, parseShare, unlessZero(Share.String))
}

// count is a number of checkpoints, 0 included; without one it is not set.
func count(field func(*Config) **int) value {
	return scalar(field, func(s string) (*int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a number of checkpoints; write 0 or more", s)
		}
		return &n, nil
	}, func(n *int) string {
		if n == nil {
			return ""
		}
		return strconv.Itoa(*n)
	})
}

// countOrAll is a count whose default is not "all", so that needs a word.
func countOrAll(field func(*Config) **int) value {
	limit := count(field)
	return value{
		parse: func(c *Config, words []string) error {
			if words[0] == "all" {
				*field(c) = nil
				return nil
			}
			return limit.parse(c, words)
		},
		format: func(c *Config) string { return cmp.Or(limit.format(c), "all") },
		copy:   limit.copy,
	}
}

// interval is a number of epochs or steps; without one it is not set.
func interval[T int | int64](field func(*Config) *T) value {
	return scalar(field, func(s string) (T, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 || int64(T(n)) != n {
			return 0, fmt.Errorf("%q is not an interval; write a whole number of 1 or more, or leave the key out", s)
		}
		return T(n), nil
	}, unlessZero(func(n T) string { return strconv.FormatInt(int64(n), 10) }))
}

// kinds is a list of different kinds of checkpoints.
func kinds(field func(*Config) *[]layout.Kind, allowed ...layout.Kind) value {
	return value{
		list: true,
		parse: func(c *Config, words []string) error {
			var list []layout.Kind
			for _, word := range words {
				kind := layout.Kind(word)
				switch {
				case !slices.Contains(allowed, kind):
					return fmt.Errorf("%q is not a kind of checkpoint; the kinds are %s", word, joinKinds(allowed))
				case slices.Contains(list, kind):
					return fmt.Errorf("%q is there twice", word)
				}
				list = append(list, kind)
			}
			if len(list) == 0 {
				return fmt.Errorf("the list is empty; write at least one of %s", joinKinds(allowed))
			}
			*field(c) = list
			return nil
		},
		format: func(c *Config) string { return "[" + joinKinds(*field(c)) + "]" },
		copy:   func(to, from *Config) { *field(to) = *field(from) },
	}
}

func joinKinds(kinds []layout.Kind) string {
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = string(kind)
	}
	return strings.Join(words, ", ")
}

// unlessZero formats the zero value as "not set".
func unlessZero[T comparable](format func(T) string) func(T) string {
	return func(v T) string {
		var zero T
		if v == zero {
			return ""
		}
		return format(v)
	}
}
