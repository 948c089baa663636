package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ckptfs/layout"
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
	cfg, err := policy.Parse(file, data)
	if err != nil {
		return policy.Config{}, err
	}
	if err := knownLayout(cfg.Layout); err != nil {
		return policy.Config{}, fmt.Errorf("%s: layout: %w", file, err)
	}
	return cfg, nil
}

// knownLayout refuses a layout that there is not; the error names those there are.
func knownLayout(name string) error {
	if name == "auto" {
		return nil
	}
	_, err := layout.ByName(name)
	return err
}
