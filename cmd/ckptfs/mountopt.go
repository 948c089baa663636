package main

import (
	"slices"
	"strings"
)

// ignoredOptions mean something to mount(8) and systemd, and nothing here.
var ignoredOptions = []string{"defaults", "rw", "auto", "noauto", "user", "nouser", "users", "owner", "nofail", "_netdev", "default_permissions"}

// kernelOptions go to the kernel as they are.
var kernelOptions = []string{"suid", "nosuid", "dev", "nodev", "exec", "noexec"}

// applyOptions carries out what was given with -o, in the syntax of mount(8): a
// comma separates, a backslash keeps what follows it. Those that stand for a
// flag set it; a flag that was given as well goes first.
func (o *mountOptions) applyOptions(lists []string) error {
	for _, list := range lists {
		for _, option := range splitOptions(list) {
			if err := o.applyOption(option); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *mountOptions) applyOption(option string) error {
	key, value, hasValue := strings.Cut(option, "=")
	var text *string
	switch key {
	case "config":
		text = &o.config
	case "layout":
		text = &o.layout
	case "log":
		text = &o.log
	}
	switch {
	case text != nil && value == "":
		return usageError("mount: -o %s needs a value: -o %s=…", key, key)
	case text != nil:
		if *text == "" {
			*text = value
		}
	case option == "ro":
		o.readOnly = true
	case option == "allow_other":
		o.allowOther = true
	case slices.Contains(kernelOptions, option):
		o.kernel = append(o.kernel, option)
	case slices.Contains(ignoredOptions, option), strings.HasPrefix(key, "x-"):
	case hasValue:
		return usageError("mount: -o %s is not known; those with a value are config, layout and log", option)
	default:
		return usageError("mount: -o %s is not known; see ckptfs mount --help", option)
	}
	return nil
}

// splitOptions cuts a list at its commas. Empty options are dropped.
func splitOptions(list string) []string {
	var options []string
	var option strings.Builder
	end := func() {
		if option.Len() > 0 {
			options = append(options, option.String())
		}
		option.Reset()
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == ',':
			end()
		case c == '\\' && i+1 < len(list):
			i++
			option.WriteByte(list[i])
		default:
			option.WriteByte(c)
		}
	}
	end()
	return options
}
