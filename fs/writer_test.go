package fs_test

// writer is the body of the processes that tests start to write, close and die
// in chosen ways.
func writer(args []string) int { return 0 }
