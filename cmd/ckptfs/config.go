package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/policy"
)

// configName is the configuration that a directory carries with it.
const configName = ".ckptfs.yaml"

// loadConfig reads the file that was named, else the one in dir, else the
// defaults. An error of the file begins with FILE:LINE.
func loadConfig(dir, named string) (policy.Config, error) {
	file, open := named, os.Open
	if file == "" {
		file, open = filepath.Join(dir, configName), openCarried
	}
	f, err := open(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && named == "":
		return policy.Default(), nil
	case errors.Is(err, unix.ELOOP) && named == "":
		return policy.Config{}, fmt.Errorf("%s is a symbolic link, which is not followed; name the file with --config", file)
	case err != nil:
		return policy.Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, policy.MaxFile+1))
	if err != nil {
		return policy.Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return policy.Parse(file, data)
}

// openCarried opens a file of a directory without following a link: who runs
// ckptfs may be allowed to read more than the owner of the directory.
func openCarried(file string) (*os.File, error) {
	root, err := disk.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open("", filepath.Base(file), os.O_RDONLY, 0)
}
