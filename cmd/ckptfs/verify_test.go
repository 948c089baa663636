package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ckptfs/fs/store"
	"ckptfs/testdata/runs"
)

// asked is a context that ends when it was asked a number of times.
type asked struct {
	context.Context
	left atomic.Int64
}

func askedFor(times int64) *asked {
	p := &asked{Context: context.Background()}
	p.left.Store(times)
	return p
}

func (p *asked) Err() error {
	if p.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A deep verification that is interrupted ends with 130, says what was looked at
// until then, and the next one goes on with the rest.
func TestVerifyInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.CopyFS(dir, runs.FS); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, store.Private), 0o700); err != nil { // ckptfs has been at work there
		t.Fatal(err)
	}
	verify := func(ctx context.Context) (code int, said string) {
		var out, notes bytes.Buffer
		err := runVerify(ctx, &out, &notes, verifyOptions{deep: true}, []string{dir})
		said = out.String() + notes.String()
		if err != nil {
			said += err.Error()
		}
		return exitCode(err), said
	}
	code, said := verify(askedFor(100))
	for _, want := range []string{"interrupted: ", "of 24 files were looked at; the same command goes on from there", "not looked at to its end", ": nothing is damaged so far."} {
		if code != exitInterrupted || !strings.Contains(said, want) {
			t.Fatalf("interrupted: exit code %d, want %q in\n%s", code, want, said)
		}
	}
	code, said = verify(context.Background())
	if code != 0 || !strings.Contains(said, "before the interruption") || strings.Contains(said, "not looked at") {
		t.Errorf("again: exit code %d\n%s", code, said)
	}
	code, said = verify(context.Background())
	if code != 0 || !strings.Contains(said, "8 checkpoints, 24 files looked at, 187 KiB read: nothing is damaged.") {
		t.Errorf("once more: exit code %d\n%s", code, said)
	}
}
