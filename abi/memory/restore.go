package memory

import "bytes"

const pageSize = 4096 // unit of comparison where the system tells nothing

// restore makes mem equal to the image and reports how many pages differed.
func restore(mem, image []byte) (dirty int) {
	for at := 0; at < len(image); at += pageSize {
		end := min(at+pageSize, len(image))
		if !bytes.Equal(mem[at:end], image[at:end]) {
			copy(mem[at:end], image[at:end])
			dirty++
		}
	}
	return dirty
}
