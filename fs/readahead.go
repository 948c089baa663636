package fs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// readAhead is how far ahead the kernel reads without passthrough, and so how large
// its requests are: 128 KiB if nobody says otherwise. From a megabyte on they do not
// fit into a pipe any more, and would be copied once more instead of spliced.
const readAhead = 512 << 10

// readFurther has the kernel read that far. Only root may ask for it, and what it
// answers to INIT cannot make it more.
func (m *mount) readFurther() {
	list, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.log.Debug("the kernel reads ahead as far as it likes", "err", err)
		return
	}
	at := fmt.Sprintf("/sys/class/bdi/%s/read_ahead_kb", deviceAt(list, m.opts.Mountpoint))
	if err := os.WriteFile(at, []byte(strconv.Itoa(readAhead>>10)), 0); err != nil {
		m.log.Debug("the kernel reads ahead as far as it likes", "err", err)
	}
}

// deviceAt finds the number of the file system that was mounted last at a place; ""
// when there is none. A stat of it would be a request to us.
func deviceAt(mountinfo []byte, mountpoint string) (device string) {
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	for line := range bytes.Lines(mountinfo) {
		if f := bytes.Fields(line); len(f) > 4 && string(f[4]) == escape.Replace(mountpoint) {
			device = string(f[2])
		}
	}
	return device
}
