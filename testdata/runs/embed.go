// Package runs holds run directories as real trainers left them, for the tests
// and for the tour that `ckptfs demo` gives.
package runs

import "embed"

// FS has one directory for each run.
//
//go:embed all:enstack
var FS embed.FS
