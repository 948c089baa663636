package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"ckptfs/fs"
	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
)

// serve mounts, calls ready, and returns after the unmount, when everything
// that was complete is committed and the lock is given back.
func serve(req request, stderr io.Writer, ready func()) error {
	backing, err := disk.OpenRoot(req.dir)
	if err != nil {
		return err
	}
	log, err := openLog(backing, req, stderr)
	if err != nil {
		backing.Close()
		return remedy(err, req)
	}
	slog.SetDefault(log)
	if err := os.Chdir("/"); err != nil { // keep no directory busy
		log.Warn("cannot leave the working directory", "err", err)
	}
	if req.pprof != "" {
		end, err := startProfile(req.pprof, log)
		if err != nil {
			backing.Close()
			return err
		}
		defer func() {
			if err := end(); err != nil {
				log.Warn("the profile is not whole", "err", err)
			}
		}()
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	server, err := fs.Mount(backing, fs.MountOptions{
		Dir: req.dir, Mountpoint: req.point, Config: req.cfg,
		AllowOther: req.allowOther, ReadOnly: req.readOnly, NoPassthrough: req.daemonData, Debug: req.debug,
		Options: req.kernel, Log: log,
	})
	if err != nil {
		return remedy(err, req)
	}
	log.Info("mounted", "dir", req.dir, "mountpoint", req.point, "version", versionName(), "passthrough", server.Passthrough())
	ready()
	keepSmall()
	stopped := make(chan struct{})
	go stopOnSignal(server, req, signals, stopped, log)
	server.Wait()
	close(stopped)
	return finish(server, log)
}

// keepSmall gives back the memory that it took to mount, and sees to it that garbage
// does not double that of a large catalog, which is kept as long as the mount lives.
func keepSmall() {
	const large, percent = 16 << 20, 25
	debug.FreeOSMemory()
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > large {
		debug.SetGCPercent(percent)
	}
}

// finish commits what is complete after the file system is gone, and parks the
// rest for the next mount.
func finish(server *fs.Server, log *slog.Logger) error {
	for name, lacks := range server.Settle(context.Background(), nil) {
		log.Warn("a save stays staged", "checkpoint", name, "lacks", store.Words(lacks))
	}
	err := server.Close()
	log.Info("unmounted", "err", err)
	return err
}

// unmountAgain is how often an unmount is tried while somebody uses the mount.
const unmountAgain = 500 * time.Millisecond

// stopOnSignal unmounts on the first signal, as soon as nobody uses the mount
// any more. It does not detach by itself: a trainer that writes by absolute
// paths would go on in the bare directory. A second signal says that it should.
func stopOnSignal(server *fs.Server, req request, signals <-chan os.Signal, stopped <-chan struct{}, log *slog.Logger) {
	select {
	case <-stopped:
		return
	case s := <-signals:
		log.Info("stopping", "signal", s.String())
	}
	again := time.NewTicker(unmountAgain)
	defer again.Stop()
	for told := false; ; {
		server.Settle(context.Background(), nil)
		err := server.Unmount()
		if err == nil {
			return
		}
		if !told {
			told = true
			log.Warn("cannot unmount yet; a second signal detaches", "err", err, "used by", fmt.Sprint(usersOf(req.point)))
		}
		select {
		case <-stopped:
			return
		case <-signals:
			if err := detach(req.point); err != nil {
				log.Error("cannot detach", "err", err)
			}
			return
		case <-again.C:
		}
	}
}

// openLog opens where the daemon logs to: stderr in the foreground, else the
// file that was named, else the one in the private directory. Only a directory
// that cannot be written goes without.
func openLog(backing *disk.Root, req request, stderr io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	if req.debug {
		level = slog.LevelDebug
	}
	to := stderr
	if !req.foreground || req.log != "" {
		var f *os.File
		var err error
		if req.log != "" {
			f, err = os.OpenFile(req.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		} else {
			// Never by its path: who owns the directory could lead it anywhere.
			f, err = store.OpenLog(backing)
		}
		switch {
		case err == nil:
			to = f
			debug.SetCrashOutput(f, debug.CrashOptions{}) // fails only for what is no file
		case req.readOnly && req.log == "":
			to = io.Discard
		default:
			return nil, fmt.Errorf("open the log: %w", err)
		}
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})), nil
}

// remedy adds the way out to an error of the disk.
func remedy(err error, req request) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w; make room first: ckptfs prune %s, or delete other files", err, req.dir)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w; add --read-only to mount it for reading", err)
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%s: %w; stop it first: ckptfs umount %s", req.dir, err, req.point)
	}
	return err
}
