package memory

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// file is the memfd behind an image, or -1 if the system has none to give; then
// the image is a copy on Go's heap and every reset compares all of it.
type file struct{ fd int }

func newImage(content []byte) (*Image, error) {
	img := &Image{size: len(content), file: file{-1}}
	if img.size == 0 {
		return img, nil
	}
	fd, err := unix.MemfdCreate("wasm-memory-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		img.content = append([]byte(nil), content...)
		return img, nil //nolint:nilerr // a copy on the heap serves as well
	}
	if img.content, err = fill(fd, content); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("memory: cannot write an image of %d bytes: %w", len(content), err)
	}
	img.file.fd = fd
	return img, nil
}

// fill writes content to the file, leaves out pages of zeros, makes it
// immutable and maps it.
func fill(fd int, content []byte) (mapped []byte, err error) {
	if err := unix.Ftruncate(fd, int64(roundUp(len(content)))); err != nil {
		return nil, err
	}
	for at := 0; at < len(content); {
		page := content[at:min(at+osPage, len(content))]
		if allZero(page) {
			at += len(page)
			continue
		}
		n, err := unix.Pwrite(fd, page, int64(at))
		if err != nil {
			return nil, err
		}
		at += n
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, roundUp(len(content)), unix.PROT_READ, unix.MAP_PRIVATE)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (i *Image) destroy() {
	if i.file.fd < 0 {
		i.content = nil
		return
	}
	// Neither can fail for a mapping and a file of our own.
	_ = unix.Munmap(i.content)
	_ = unix.Close(i.file.fd)
	i.content, i.file.fd = nil, -1
}
