package policy

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed presets
var presets embed.FS

// Presets are the names of the ready-made configurations.
func Presets() (names []string) {
	list, err := presets.ReadDir("presets")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, e := range list {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Preset is a ready-made configuration: a file in which each line says why.
func Preset(name string) ([]byte, error) {
	if !slices.Contains(Presets(), name) {
		return nil, fmt.Errorf("no preset is called %q; there are %s", name, strings.Join(Presets(), ", "))
	}
	return presets.ReadFile(path.Join("presets", name+".yaml"))
}
