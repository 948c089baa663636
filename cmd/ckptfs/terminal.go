package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// isTerminal reports whether a stream is one that a person looks at. NO_COLOR
// and TERM=dumb ask for plain lines.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// newTable begins a table; its cells are ended by tabs. Flush writes it.
func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.StripEscape)
}

// ask puts a question that only a word beginning with y answers with yes. The
// end of the input is a no.
func ask(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprint(out, question+" [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(out)
	}
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

// number is a number of a report; those that are unknown are null there.
func number(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// size is a number of bytes, for people.
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// age is how long ago a time is: "3 hours". It is "-" where there is none.
func age(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	return strings.TrimSpace(humanize.RelTime(*t, now, "", "from now"))
}

// count is a number with its noun: "1 save", "3 saves".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
