package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ckptfs/policy"
)

// configName is the configuration that a directory carries with it.
const configName = ".ckptfs.yaml"

// loadConfig reads the file that was named, else the one in dir, else the
// defaults. An error of the file begins with FILE:LINE.
func loadConfig(dir, named string) (policy.Config, error) {
	file := named
	if file == "" {
		file = filepath.Join(dir, configName)
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && named == "":
		return policy.Default(), nil
	case err != nil:
		return policy.Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return policy.Parse(file, data)
}
