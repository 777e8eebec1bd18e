package memory

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// osPage is the system's page size in bytes.
var osPage = os.Getpagesize()

// reservation is a range of address space. Its first committed bytes are
// accessible; what lies behind costs nothing.
type reservation struct {
	mem       []byte
	committed int
	heap      bool   // a makeshift on Go's heap, for want of address space
	own       []span // scratch of reset
}

func reserve(size int) (*reservation, error) {
	mem, err := unix.Mmap(-1, 0, roundUp(size), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	return &reservation{mem: mem}, nil
}

func onHeap(size int) *reservation {
	return &reservation{mem: make([]byte, size), committed: size, heap: true}
}

func roundUp(n int) int { return (n + osPage - 1) &^ (osPage - 1) }

func (r *reservation) size() int { return len(r.mem) }

func (r *reservation) bytes(size int) []byte { return r.mem[:size:size] }

// commit makes the first size bytes accessible. They stay so until unmapped:
// wazero checks every access against the memory's length.
func (r *reservation) commit(size int) error {
	if size <= r.committed {
		return nil
	}
	if err := unix.Mprotect(r.mem[:roundUp(size)], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	r.committed = size
	return nil
}

// adopt maps the image over the first bytes of the reservation.
func (r *reservation) adopt(img *Image) error {
	if img.size == 0 {
		return nil
	}
	if r.heap || img.file.fd < 0 {
		copy(r.mem, img.content)
		return nil
	}
	return r.remap(img.size, unix.MAP_PRIVATE, img.file.fd)
}

// remap replaces the mapping of the first size bytes.
func (r *reservation) remap(size, flags, fd int) error {
	_, err := unix.MmapPtr(fd, 0, unsafe.Pointer(&r.mem[0]), uintptr(roundUp(size)),
		unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return err
}

// reset copies the image's content over pages of the memory's own, or drops
// them. Behind the image it makes the memory zero, up to grown.
func (r *reservation) reset(img *Image, grown int, h *history) (dirty int, ok bool) {
	if grown == 0 {
		return 0, true
	}
	mapped := r.mem[:roundUp(grown)]
	if r.heap || img.file.fd < 0 {
		return r.restore(img, grown), true
	}
	var err error
	if r.own, err = ownPages(mapped, r.own[:0]); err != nil {
		return r.restore(img, grown), true
	}
	for _, s := range r.own {
		dirty += (s.to - s.from) / osPage
	}
	if h.drop(dirty) {
		return dirty, unix.Madvise(mapped, unix.MADV_DONTNEED) == nil
	}
	for _, s := range r.own {
		n := copy(mapped[s.from:s.to], img.content[min(s.from, img.size):])
		clear(mapped[s.from+n : s.to])
	}
	return dirty, true
}

// restore is reset where the system doesn't tell which pages were written.
func (r *reservation) restore(img *Image, grown int) (dirty int) {
	clear(r.mem[img.size:max(grown, img.size)])
	return restore(r.mem[:img.size], img.content)
}

// clear makes the content zero again, without an image. If that fails it unmaps
// the reservation.
func (r *reservation) clear(img *Image) (reusable bool) {
	if r.heap {
		r.mem = nil
		return false
	}
	var err error
	if img != nil && img.size > 0 && img.file.fd >= 0 {
		err = r.remap(img.size, unix.MAP_PRIVATE|unix.MAP_ANON, -1)
	}
	if err == nil && r.committed > 0 {
		err = unix.Madvise(r.mem[:roundUp(r.committed)], unix.MADV_DONTNEED)
	}
	if err != nil {
		r.unmap()
		return false
	}
	return true
}

func (r *reservation) unmap() {
	if r.heap {
		return
	}
	// The only error is that of a range that isn't ours, a defect.
	if err := unix.Munmap(r.mem); err != nil {
		panic("memory: munmap: " + err.Error())
	}
	r.mem = nil
}
