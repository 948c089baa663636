package store

import "flag"

// The short run of the model is the same every time; -rapid.seed=0 with more
// -rapid.checks looks further.
func init() { flag.Set("rapid.seed", "7") }
