package fs

import "runtime"

// processors is how many threads run Go code when the program starts: as many as
// there are processors, or as GOMAXPROCS says.
var processors = runtime.GOMAXPROCS(0)

// makeWayForReaders lets more threads run Go code. go-fuse has as many threads wait
// for requests as there are processors, and one, and at least three; Go counts them as
// if they ran. With none to spare its monitor takes away from each what it will need
// again for the next request, has other threads woken that find nothing to do, and
// looks again every 20 µs. Called once go-fuse has counted.
func makeWayForReaders() { runtime.GOMAXPROCS(max(processors, 2) + 2) }
