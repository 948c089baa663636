// Command loopback shows a directory at a mountpoint with what go-fuse brings for
// that, unchanged, and with the options of go-fuse's own example. `make
// bench-peers` measures it: it is what one gets for nothing.
package main

import (
	"fmt"
	"os"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		os.Exit(1)
	}
}

// run serves until it is unmounted.
func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: loopback DIR MOUNTPOINT")
	}
	root, err := fusefs.NewLoopbackRoot(args[0])
	if err != nil {
		return err
	}
	second := time.Second
	server, err := fusefs.Mount(args[1], root, &fusefs.Options{
		AttrTimeout: &second, EntryTimeout: &second, NullPermissions: true,
		MountOptions: fuse.MountOptions{FsName: args[0], Name: "loopback", DirectMount: true, AllowOther: os.Geteuid() == 0},
	})
	if err != nil {
		return err
	}
	server.Wait()
	return nil
}
