package powercut

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	ckptfs "ckptfs/fs"
	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
	"ckptfs/policy"
	"ckptfs/testdata/saves"
)

// config settles soon and prunes hard, so that a short run has many commits, and
// deletes and reuses blocks all the time. It has the layout of those whose
// checkpoints are files.
func config(durability string) string {
	return saves.Layouts + `
save: {settle: 20ms, durability: ` + durability + `}
retention:
  mid_epoch: {keep_last: 3, when: always}
  trash_ttl: 1s
`
}

// The values of save.durability: a save is durable soon after its last close, or
// before that returns.
const (
	async   = "async"
	atClose = "close"
)

var durabilities = []string{async, atClose}

// daemon mounts ckptfs over a directory until it is unmounted.
func daemon(dir, logFile, durability string) int {
	fail := func(err error) int {
		fmt.Println("failed:", err)
		return 1
	}
	cfg, err := policy.Parse("config", []byte(config(durability)))
	if err != nil {
		return fail(err)
	}
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	root, err := disk.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	server, err := ckptfs.Mount(root, ckptfs.MountOptions{
		Dir: dir, Mountpoint: dir, Config: cfg, Clock: tidyClock{},
		Log: slog.New(slog.NewTextHandler(out, nil)),
	})
	if err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	server.Wait()
	server.Settle(context.Background(), nil)
	if err := server.Close(); err != nil {
		return fail(err)
	}
	return 0
}

// tidyClock is the time, but what is done once a minute is done once a second:
// the trash has to be emptied while the power is being cut.
type tidyClock struct{}

func (tidyClock) Now() time.Time { return time.Now() }

func (tidyClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	if d >= time.Minute {
		d /= 60
	}
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

var _ store.Clock = tidyClock{}

// pad makes a save as large as its writing takes a moment.
const pad = 512 << 10

// trainer saves for ever: DIR PATTERN FROM. Its tokens are FROM and every one
// after that belongs to the same pattern. It says "saved N" when a save is
// through, and after every other one "synced N", when an fsync of the
// checkpoint or of its run has returned.
func trainer(args []string) int {
	dir, pattern := args[0], args[1]
	from, err := strconv.Atoi(args[2])
	if err != nil {
		panic(err)
	}
	fail := func(what string, err error) int {
		fmt.Printf("failed: %s %s: %v\n", pattern, what, err)
		return 1
	}
	for i, n := 0, from; ; i, n = i+1, n+stride {
		token := tokenOf(n)
		if err := saves.Save(dir, pattern, token, rand.N(pad)); err != nil {
			return fail("save", err)
		}
		fmt.Println("saved", n)
		if i%2 == 0 {
			at := dir
			if i%4 == 0 {
				at = filepath.Join(dir, saves.Dir(pattern, token))
			}
			if err := syncDir(at); err != nil {
				return fail("fsync", err)
			}
			fmt.Println("synced", n)
		}
		time.Sleep(rand.N(100 * time.Millisecond)) // the steps of the training
	}
}

// stride keeps the tokens of the patterns apart: which one saved can be told from
// a checkpoint, wherever it lies.
var stride = len(saves.Patterns)

func tokenOf(n int) string { return fmt.Sprintf("%06d", n) }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// noise syncs a file of its own every 50 ms. Without it the journals of XFS and
// btrfs have no reason to move within a short run, and hide what is wrong.
func noise(dir string) int {
	for n := 0; ; n++ {
		name := filepath.Join(dir, strconv.Itoa(n%8))
		f, err := os.Create(name)
		if err == nil {
			_, err = fmt.Fprintln(f, n)
		}
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			fmt.Println("failed:", err)
			return 1
		}
		time.Sleep(50 * time.Millisecond) // the noise of another process
	}
}
