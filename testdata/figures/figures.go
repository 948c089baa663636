// Package figures writes down what a test has counted: states, cuts, kills,
// violations. `go test` prints such lines in the middle of much else, or not at
// all; the Makefile gathers them and prints them last.
package figures

import (
	"fmt"
	"os"
	"testing"
)

// Report says what was counted: in the log of the test, and as one line
// "subject: figures" in the file that the variable FIGURES names.
func Report(t testing.TB, subject, format string, args ...any) {
	t.Helper()
	line := subject + ": " + fmt.Sprintf(format, args...)
	t.Log(line)
	name := os.Getenv("FIGURES")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		t.Errorf("write down figures: %v", err)
		return
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil { // short, so one piece: packages are tested side by side
		t.Errorf("write down figures: %v", err)
	}
}
