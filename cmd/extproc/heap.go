package main

import "os"

// heapFloor is what Go's collector takes the server to hold at least, in bytes.
const heapFloor = 32 << 20

// floor is memory that nobody touches, and that takes none of the machine's for that:
// garbage is collected when the heap has doubled, and that of a server with a few
// plugins is so small that this would be dozens of times a second. Who has set Go's
// own limits is left with them.
func floor() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, heapFloor)
}
