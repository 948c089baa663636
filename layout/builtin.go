package layout

import (
	"cmp"
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
	return sorted(all)
})

// Builtin lists the layouts that come with the program: first those whose names
// are the surest, generic ones last.
func Builtin() []*Layout { return slices.Clone(builtin()) }

// With puts a user's layouts before the built-in ones. One that has the name of
// a built-in one stands in its place.
func With(own []*Layout) []*Layout {
	all := slices.Clone(own)
	for _, l := range builtin() {
		if find(own, l.Name) == nil {
			all = append(all, l)
		}
	}
	return all
}

// ByName finds a layout. The error names those that there are.
func ByName(among []*Layout, name string) (*Layout, error) {
	if l := find(among, name); l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("no layout is called %q; there are: %s", name, names(among))
}

func find(among []*Layout, name string) *Layout {
	for _, l := range among {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// sorted orders layouts as they are tried where only names are known.
func sorted(all []*Layout) []*Layout {
	slices.SortFunc(all, func(a, b *Layout) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.Name, b.Name))
	})
	return all
}

func names(among []*Layout) string {
	var all []string
	for _, l := range among {
		all = append(all, l.Name)
	}
	return strings.Join(all, ", ")
}
