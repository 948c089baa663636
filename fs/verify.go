package fs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"ckptfs/fs/store"
)

// A verification is asked for and told of through one open file,
// .ckptfs/verify: the first write is the request,
//
//	verify [--deep] [--history] [--trash] [--again] PATH
//
// and what is read then are lines of JSON, VerifyLine, the last of which has the
// report. The word `stop`, written while it runs, ends it early, with a report of
// what was done until then; so does closing the file.

// VerifyLine is one line of what is read from .ckptfs/verify.
type VerifyLine struct {
	Progress *store.VerifyProgress `json:"progress,omitempty"`
	Report   *store.VerifyReport   `json:"report,omitempty"`
	Error    string                `json:"error,omitempty"` // what could not be looked at; with the report
}

// parseVerify reads a request.
func parseVerify(line string) (o store.VerifyOptions, err error) {
	if err := printable(line); err != nil {
		return o, err
	}
	rest, is := strings.CutPrefix(strings.TrimSpace(line), "verify ")
	if !is {
		return o, errors.New("the request is: verify [--deep] [--history] [--trash] [--again] PATH")
	}
	flags := map[string]*bool{"--deep ": &o.Deep, "--history ": &o.History, "--trash ": &o.Trash, "--again ": &o.Again}
	for more := true; more; {
		more = false
		for flag, set := range flags {
			if after, is := strings.CutPrefix(rest, flag); is {
				rest, *set, more = after, true, true
			}
		}
	}
	if strings.HasPrefix(rest, "--") {
		return o, fmt.Errorf("%s is no flag of verify; a path that begins so is quoted", rest)
	}
	o.Path, rest, err = word(rest)
	if err == nil && rest != "" {
		err = errors.New("verify takes one path")
	}
	if err == nil && (!iofs.ValidPath(o.Path) || strings.ContainsRune(o.Path, 0)) {
		err = fmt.Errorf("%q is not a path below the mount", o.Path)
	}
	if o.Path == "." {
		o.Path = ""
	}
	return o, err
}

// verifyHandle is one open .ckptfs/verify.
type verifyHandle struct {
	m      *mount
	ctx    context.Context // of the verification, not of a request
	cancel context.CancelFunc
	news   chan struct{} // holds one word when there is something to read

	mu       sync.Mutex
	asked    bool
	out      []byte                // what is to be read before anything else
	progress *store.VerifyProgress // the latest that nobody has read
	ended    bool
}

func newVerifyHandle(m *mount) *verifyHandle {
	h := &verifyHandle{m: m, news: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Write takes the request, and the word to stop.
func (h *verifyHandle) Write(_ context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(data) > maxCommand {
		return 0, syscall.EMSGSIZE
	}
	if h.asked {
		if strings.TrimSpace(string(data)) != "stop" {
			return 0, syscall.EINVAL
		}
		h.cancel()
		return uint32(len(data)), 0
	}
	o, err := parseVerify(string(data))
	if err != nil {
		h.m.store.Note("control", strings.TrimSpace(strings.ToValidUTF8(string(data[:min(len(data), 200)]), "?")), err.Error())
		return 0, syscall.EINVAL
	}
	o.Progress = h.told
	if !h.m.store.StartVerify(h.ctx, o, h.end) {
		return 0, syscall.ESHUTDOWN
	}
	h.asked = true
	return uint32(len(data)), 0
}

func (h *verifyHandle) told(p store.VerifyProgress) {
	h.mu.Lock()
	h.progress = &p
	h.mu.Unlock()
	h.wake()
}

func (h *verifyHandle) end(rep store.VerifyReport, err error) {
	line := VerifyLine{Report: &rep}
	if err != nil {
		line.Error = err.Error()
	}
	h.mu.Lock()
	h.say(line)
	h.progress, h.ended = nil, true
	h.mu.Unlock()
	h.wake()
}

// say puts a line where it is read. Needs mu.
func (h *verifyHandle) say(line VerifyLine) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(line); err != nil {
		h.m.log.Error("cannot tell of a verification", "err", err)
		return
	}
	h.out = append(h.out, b.Bytes()...)
}

func (h *verifyHandle) wake() {
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// Read waits for news. It ends when the report was read.
func (h *verifyHandle) Read(ctx context.Context, dest []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	for {
		h.mu.Lock()
		if len(h.out) == 0 && h.progress != nil {
			h.say(VerifyLine{Progress: h.progress})
			h.progress = nil
		}
		n := copy(dest, h.out)
		h.out = h.out[n:]
		over := h.ended || !h.asked
		h.mu.Unlock()
		if n > 0 || over {
			return fuse.ReadResultData(dest[:n]), 0
		}
		select {
		case <-h.news:
		case <-ctx.Done():
			return nil, syscall.EINTR
		}
	}
}

// Release ends the verification of who does not want to know any more.
func (h *verifyHandle) Release(context.Context) syscall.Errno {
	h.cancel()
	return 0
}
