package powercut

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// found is what is wrong with a disk after the power came back, in words.
type found struct {
	ckptfs, control []string
	again           string // the disk of a cut during the recovery, if there was one

	mu sync.Mutex
}

func (f *found) complain(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ckptfs = append(f.ckptfs, fmt.Sprintf(format, args...))
}

// afterCut brings a disk back that the power left, and counts what it finds. The
// power may go once more while ckptfs recovers and the trainers go on.
func (m *machine) afterCut(image string, promised map[string]int, tally *tally) {
	m.t.Helper()
	f := m.recover(image, promised)
	m.must(os.Remove(image))
	tally.add(m.t, f)
	if f.again == "" {
		return
	}
	tally.again++
	second := m.recover(f.again, promised)
	m.must(os.Remove(f.again))
	if second.again != "" { // twice is enough
		m.must(os.Remove(second.again))
	}
	if len(second.ckptfs) > 0 {
		tally.broken++
		m.t.Logf("cut %d, and again during the recovery: %s", tally.cuts, strings.Join(second.ckptfs, "\n"))
	}
}

// recover brings a disk back, and looks for broken promises. promised is the
// newest save of each run that was promised before.
func (m *machine) recover(image string, promised map[string]int) *found {
	m.t.Helper()
	f := new(found)
	if dir := os.Getenv("KEEP"); dir != "" {
		original := image + ".original"
		m.must(reflink(image, original))
		defer func() { m.must(os.Remove(original)) }()
		defer m.keep(original, dir, f)
	}
	m.insert(image, false)
	defer m.eject()
	err := m.fs.mount(m.device.path(), m.at) // replays the journal
	if err == nil {
		m.must(unmount(m.at))
		err = m.fs.check(m.device.path())
	}
	if err == nil {
		err = m.fs.mount(m.device.path(), m.at)
	}
	if err != nil {
		f.complain("the file system itself: %v", err)
		return f
	}
	defer func() { m.must(unmount(m.at)) }()
	defer m.reboot()()

	for _, pattern := range controlPatterns {
		run := filepath.Join(controlDir, pattern)
		newest, problems := m.natural(run)
		if newest < promised[run] {
			problems = append(problems, fmt.Sprintf("save %d was through, %d is there", promised[run], newest))
		}
		for _, p := range problems {
			f.control = append(f.control, run+": "+p)
		}
	}
	m.checkNatural(f, "before recovery")
	defer m.cutAgain(f, image)()
	trash := m.checkStore(f)
	m.checkNatural(f, "after recovery")
	m.checkSpread(f)
	m.checkMount(f, promised, trash)
	return f
}

// cutAgain takes a snapshot of a disk that is being recovered, after every other
// cut, at a random instant. What it returns ends the waiting for that.
func (m *machine) cutAgain(f *found, image string) (end func()) {
	if rand.N(2) == 0 {
		return func() {}
	}
	again, taken := image+".again", make(chan error, 1)
	timer := time.AfterFunc(rand.N(700*time.Millisecond), func() { taken <- reflink(image, again) })
	return func() {
		if timer.Stop() {
			return // it was over before
		}
		m.must(<-taken)
		f.again = again
	}
}

// keep copies the disk of a broken promise to a directory that outlives the test.
func (m *machine) keep(image, dir string, f *found) {
	if len(f.ckptfs) == 0 || m.fs.broken {
		return
	}
	to := filepath.Join(dir, strings.NewReplacer(" ", "-", "=", "-").Replace(m.fs.name)+"-"+filepath.Base(image))
	m.must(run([]string{"cp", "--sparse=always", image, to}))
	f.complain("the disk is kept as %s", to)
}

// reboot makes this another boot of the machine: ckptfs must not believe what it
// would if only it had died.
func (m *machine) reboot() (undo func()) {
	const bootID = "/proc/sys/kernel/random/boot_id"
	other := filepath.Join(scratch(m.t, "boot"), "id")
	m.boots++
	m.must(os.WriteFile(other, fmt.Appendf(nil, "boot-%d\n", m.boots), 0o644))
	m.must(unix.Mount(other, bootID, "", unix.MS_BIND, ""))
	return func() { m.must(unix.Unmount(bootID, 0)) }
}
