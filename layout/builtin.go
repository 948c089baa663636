package layout

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

// builtin parses the embedded layouts once. They are part of the program: one
// that does not parse is a bug, and the tests would have found it.
var builtin = sync.OnceValue(func() []*Layout {
	files, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		panic(err)
	}
	var all []*Layout
	for _, f := range files {
		source := path.Join("builtin", f.Name())
		data, err := builtinFiles.ReadFile(source)
		if err != nil {
			panic(err)
		}
		l, err := Parse(source, data)
		if err != nil {
			panic(err)
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *Layout) int { return strings.Compare(a.Name, b.Name) })
	return all
})

// Builtin lists the layouts that come with the program, sorted by name.
func Builtin() []*Layout { return slices.Clone(builtin()) }

// ByName finds a built-in layout. The error names those that there are.
func ByName(name string) (*Layout, error) {
	for _, l := range builtin() {
		if l.Name == name {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no layout is called %q; there are: %s", name, builtinNames())
}

func builtinNames() string {
	var names []string
	for _, l := range builtin() {
		names = append(names, l.Name)
	}
	return strings.Join(names, ", ")
}
