package powercut

func serveDisk(a, b, c string) int { return 1 }
