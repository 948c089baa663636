package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	runtimepprof "runtime/pprof"
	"strings"
)

// profileTarget is where `mount --pprof` sends profiles: an address to ask them
// of, or a file that gets the processor's. A file is made absolute, because the
// daemon leaves its directory. Who reaches an address can look into the process,
// so only this machine may.
func profileTarget(arg string) (string, error) {
	if !strings.Contains(arg, ":") {
		return filepath.Abs(arg)
	}
	host, _, err := net.SplitHostPort(arg)
	if err != nil {
		return "", usageError("mount: --pprof %s: write a file, or an address as localhost:6060", arg)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", usageError("mount: --pprof %s: profiles are shown to this machine only; write localhost:6060", arg)
	}
	return arg, nil
}

// startProfile begins to profile this process; the end is to be called when it
// has nothing more to do. An empty target is none.
func startProfile(target string, log *slog.Logger) (end func() error, err error) {
	if strings.Contains(target, ":") {
		return serveProfiles(target, log)
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the profile: %w", err)
	}
	if err := runtimepprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		runtimepprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// serveProfiles answers `go tool pprof http://ADDRESS/debug/pprof/profile`.
func serveProfiles(address string, log *slog.Logger) (end func() error, err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("profiles are served", "address", listener.Addr().String())
	return func() error {
		err := server.Shutdown(context.Background())
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}
