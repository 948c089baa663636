package store

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/zeebo/xxh3"

	"ckptfs/layout/format"
)

// hash reads a file and returns the XXH3-128 of its bytes in hex. It finds torn
// and rotten files; it is no defence against somebody who forges them.
func (s *Store) hash(p string) (string, error) {
	f, err := s.disk.Open("hash", p, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	st, err := s.disk.Fstat(f)
	if err != nil {
		return "", err
	}
	h := xxh3.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, min(st.Size+1, piece))); err != nil {
		return "", fmt.Errorf("read %s: %w", p, err)
	}
	sum := h.Sum128().Bytes()
	return hex.EncodeToString(sum[:]), nil
}

// checkFile judges one file: format.Check reads its structure, format.Verify all
// of it.
func (s *Store) checkFile(p, name string, check func(string, io.ReaderAt, int64) format.Result) format.Result {
	f, err := s.disk.Open("check", p, os.O_RDONLY, 0)
	if err != nil {
		return format.Result{Problem: err.Error()}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return format.Result{Problem: err.Error()}
	}
	return check(name, f, st.Size())
}
