package fs_test

import (
	"strconv"

	"ckptfs/testdata/saves"
)

// What the trainers of these tests save, and how.
var (
	checkpointFiles = saves.Files
	saveFiles       = saves.Content
	load            = saves.Load
)

// pad makes writing a save take a while.
const pad = 2 << 20

func writeAll(dir, token string) error { return saves.Write(dir, token, pad) }

// writer is the body of the processes that tests start to write and die:
//
//	train DIR PATTERN KIND FROM   saves for ever, with tokens FROM, FROM+1, …
//	rank K                        one process of a trainer that has several
//	hold FILE                     keeps a file open until it is told
//	survivor DIR                  goes on when ckptfs was killed
//	orphan HOW DIR                goes on writing when ckptfs was killed
func writer(args []string) int {
	number := func(i int) int { n, _ := strconv.Atoi(args[i]); return n }
	switch args[0] {
	case "train":
		return train(args[1], args[2], args[3], number(4))
	case "rank":
		return serveRank(number(1))
	case "hold":
		return hold(args[1])
	case "survivor":
		return survive(args[1])
	case "orphan":
		if args[1] == "inherited" {
			return inheritedOrphan()
		}
		return serveOrphan(args[1], args[2])
	}
	return 2
}
