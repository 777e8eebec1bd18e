//go:build !linux

package memory

// reservation is a memory on Go's heap. It moves when it grows, so shared memory
// (threads) is not supported on these systems.
type reservation struct {
	most int
	mem  []byte
}

func roundUp(n int) int { return n }

func reserve(size int) (*reservation, error) { return &reservation{most: size}, nil }

func onHeap(size int) *reservation { return &reservation{most: size, mem: make([]byte, size)} }

func (r *reservation) size() int { return r.most }

func (r *reservation) commit(size int) error {
	if size > cap(r.mem) {
		grown := make([]byte, size, max(size, min(2*cap(r.mem), r.most)))
		copy(grown, r.mem)
		r.mem = grown
	}
	r.mem = r.mem[:max(size, len(r.mem))]
	return nil
}

func (r *reservation) bytes(size int) []byte { return r.mem[:size:size] }

func (r *reservation) adopt(img *Image) error {
	copy(r.mem, img.content)
	return nil
}

func (r *reservation) reset(img *Image, grown int, _ *history) (dirty int, ok bool) {
	clear(r.mem[img.size:max(grown, img.size)])
	return restore(r.mem[:img.size], img.content), true
}

// clear drops the memory: the garbage collector makes cleared ones.
func (r *reservation) clear(*Image) (reusable bool) {
	r.mem = nil
	return false
}

func (r *reservation) unmap() { r.mem = nil }

type file struct{}

func newImage(content []byte) (*Image, error) {
	return &Image{size: len(content), content: append([]byte(nil), content...)}, nil
}

func (i *Image) destroy() { i.content = nil }
