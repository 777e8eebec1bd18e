package memory

import "sync"

// Image is the content of a memory at one moment, which any number of memories
// can go back to. It is safe for concurrent use.
type Image struct {
	size    int
	content []byte // never written
	file    file

	mu     sync.Mutex
	refs   int // the owner's and one of each memory that adopted it
	closed bool
}

// Capture makes an image of a memory's content, which the memory adopts. The
// caller closes the image when no further memory will adopt it.
func Capture(l *Linear) (*Image, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.res == nil {
		return nil, errFreed
	}
	img, err := newImage(l.res.bytes(int(l.size)))
	if err != nil {
		return nil, err
	}
	img.refs = 1
	if err := l.adopt(img); err != nil {
		img.Close()
		return nil, err
	}
	return img, nil
}

// Size is the image's size in bytes.
func (i *Image) Size() int { return i.size }

// Close lets go of the image once the last memory that adopted it is freed.
func (i *Image) Close() {
	i.mu.Lock()
	again := i.closed
	i.closed = true
	i.mu.Unlock()
	if !again {
		i.release()
	}
}

func (i *Image) retain() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return false
	}
	i.refs++
	return true
}

func (i *Image) release() {
	i.mu.Lock()
	i.refs--
	last := i.refs == 0
	i.mu.Unlock()
	if last {
		i.destroy()
	}
}
