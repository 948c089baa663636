package fs_test

import (
	"fmt"
	"strconv"

	"ckptfs/testdata/saves"
)

// What the trainers of these tests save, and how.
var (
	checkpointFiles = saves.Files
	patterns        = saves.Patterns
	saveFiles       = saves.Content
	load            = saves.Load
)

// pad makes writing a save take a while.
const pad = 2 << 20

func writeAll(dir, token string) error { return saves.Write(dir, token, pad) }

// writer is the body of the processes that tests start to write and die:
//
//	patterns DIR PATTERN FROM   saves for ever, with tokens FROM, FROM+1, …
//
// A line on stdout says that a save is through. Or one file in one of the ways
// of ending_test.go.
func writer(args []string) int {
	if len(args) == 4 && args[0] == "patterns" {
		from, _ := strconv.Atoi(args[3])
		for n := from; ; n++ {
			if err := saves.Save(args[1], args[2], fmt.Sprintf("%06d", n), pad); err != nil {
				fmt.Println("failed:", err)
				return 1
			}
			fmt.Println("saved", n)
		}
	}
	if args[0] == "hold" {
		return hold(args[1])
	}
	return ending(args[1:])
}
