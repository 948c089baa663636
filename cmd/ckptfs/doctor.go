package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newDoctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [PATH]",
		Short: "Check FUSE, the kernel, the file system and the space",
		Long: `Check what ckptfs needs: FUSE, permissions, features of the kernel and of the file
system that PATH is on, stale mounts, space. One line for each: ok, info, warning or
error, the check, and what was found. Fails when there is an error.`,
		Example: `  ckptfs doctor checkpoints/codebert`,
		Args:    operands(0, 1, "at most one PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDoctor(cmd.OutOrStdout(), operand(args))
		},
	}
}

// severity is how much a finding matters.
type severity string

const (
	okay    severity = "ok"
	info    severity = "info"    // works, and could work better
	warning severity = "warning" // works, and may not for long
	failing severity = "error"   // does not work
)

// finding is one line of the doctor's.
type finding struct {
	severity severity
	check    string
	detail   string
}

func found(s severity, check, format string, args ...any) finding {
	return finding{s, check, fmt.Sprintf(format, args...)}
}

func runDoctor(out io.Writer, path string) error {
	findings := []finding{checkDevice(), checkHelper(), checkKernel()}
	findings = append(findings, checkMounts()...)
	findings = append(findings, checkDirectory(path)...)
	table := newTable(out)
	errors := 0
	for _, f := range findings {
		if f.severity == failing {
			errors++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.severity, f.check, f.detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if errors > 0 {
		return fmt.Errorf("%s found", count(errors, "error"))
	}
	return nil
}

func checkDevice() finding {
	if err := fuseDevice(); err != nil {
		return found(failing, "fuse", "%v", err)
	}
	return found(okay, "fuse", "/dev/fuse can be used")
}

func checkHelper() finding {
	helper, err := fusermount()
	switch {
	case err == nil && os.Geteuid() != 0 && !userAllowOther():
		return found(info, "fusermount", "%s; --allow-other needs user_allow_other in /etc/fuse.conf", helper)
	case err == nil:
		return found(okay, "fusermount", "%s", helper)
	case os.Geteuid() == 0:
		return found(info, "fusermount", "missing, which root does not need")
	}
	return found(failing, "fusermount", "%v", err)
}

// checkKernel is about passthrough, by which data goes past the daemon: Linux
// 6.9, and CAP_SYS_ADMIN until further notice (Documentation/filesystems/fuse-passthrough.rst).
func checkKernel() finding {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return found(warning, "kernel", "uname: %v", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	switch {
	case !atLeast(release, 6, 9):
		return found(info, "kernel", "Linux %s: no passthrough, which came with 6.9; saving and loading is slower", release)
	case os.Geteuid() != 0:
		return found(info, "kernel", "Linux %s: passthrough is for root only; saving and loading is slower", release)
	}
	return found(okay, "kernel", "Linux %s, passthrough", release)
}

// atLeast compares a release such as "6.18.44-generic".
func atLeast(release string, major, minor int) bool {
	var x, y int
	if _, err := fmt.Sscanf(release, "%d.%d", &x, &y); err != nil {
		return false
	}
	return x > major || x == major && y >= minor
}

func checkMounts() []finding {
	list, err := mounted()
	if err != nil {
		return []finding{found(failing, "mounts", "%v", err)}
	}
	var findings []finding
	var live []string
	for _, m := range list {
		if !m.ours() {
			continue
		}
		if err := m.healthy(); err != nil {
			findings = append(findings, found(warning, "mounts", "%v", err))
		} else {
			live = append(live, m.point)
		}
	}
	if len(live) > 0 {
		findings = append(findings, found(okay, "mounts", "%s", strings.Join(live, ", ")))
	}
	return findings
}
