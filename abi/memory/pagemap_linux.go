package memory

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A page of a private file mapping that was written is no page of the file any
// more: the kernel's page map tells. That needs no write protection and so costs
// a guest nothing but the first fault of each page.

// span is a range of bytes, whole pages.
type span struct{ from, to int }

// tracking is how own pages are found.
type tracking int32

const (
	byScan    tracking = iota // PAGEMAP_SCAN, Linux 6.7
	byPagemap                 // reading /proc/self/pagemap
	byNothing                 // not at all
)

var currentTracking atomic.Int32

// pagemap is open for the life of the process.
var pagemap = sync.OnceValues(func() (fd int, err error) {
	return unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
})

// ownPages appends the ranges of mapped, a private file mapping, that hold
// pages of its own.
func ownPages(mapped []byte, own []span) ([]span, error) {
	mode := tracking(currentTracking.Load())
	if mode == byNothing {
		return own, unix.ENOSYS
	}
	fd, err := pagemap()
	if err == nil && mode == byScan {
		if own, err = scanPages(fd, mapped, own); err == nil {
			return own, nil
		}
		currentTracking.CompareAndSwap(int32(byScan), int32(byPagemap))
		own, err = own[:0], nil
	}
	if err == nil {
		if own, err = readPages(fd, mapped, own); err == nil {
			return own, nil
		}
	}
	currentTracking.Store(int32(byNothing))
	return own, err
}

// scanArg is struct pm_scan_arg and region struct page_region of linux/fs.h.
type scanArg struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages uint64
	inverted, mask, anyOf, returned                         uint64
}

type region struct{ start, end, categories uint64 }

const (
	pagemapScan   = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
)

// scanBuffer lends the kernel's result a place on the heap.
var scanBuffer = sync.Pool{New: func() any {
	return &struct {
		arg     scanArg
		regions [256]region
	}{}
}}

// scanPages asks for pages that are present or swapped and not of the file.
func scanPages(fd int, mapped []byte, own []span) ([]span, error) {
	buf := scanBuffer.Get().(*struct {
		arg     scanArg
		regions [256]region
	})
	defer scanBuffer.Put(buf)
	base := uint64(uintptr(unsafe.Pointer(&mapped[0])))
	end := base + uint64(len(mapped))
	for at := base; at < end; at = buf.arg.walkEnd {
		buf.arg = scanArg{
			size: uint64(unsafe.Sizeof(buf.arg)), start: at, end: end,
			vec: uint64(uintptr(unsafe.Pointer(&buf.regions[0]))), vecLen: uint64(len(buf.regions)),
			inverted: pageIsFile, mask: pageIsFile, anyOf: pageIsPresent | pageIsSwapped,
		}
		// Raw, as it is over at once: Go's monitor of system calls would be woken, and
		// costs more than the scan.
		n, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), pagemapScan, uintptr(unsafe.Pointer(&buf.arg)))
		runtime.KeepAlive(buf)
		if errno == unix.EINTR {
			buf.arg.walkEnd = at
			continue
		}
		if errno != 0 {
			return own, errno
		}
		for _, r := range buf.regions[:n] {
			own = extend(own, int(r.start-base), int(r.end-base))
		}
		if buf.arg.walkEnd <= at {
			return own, unix.EIO // no progress; a walk without results ends at end
		}
	}
	return own, nil
}

// readPages reads an entry of 64 bits for each page: bit 63 present, 62
// swapped, 61 a page of a file.
func readPages(fd int, mapped []byte, own []span) ([]span, error) {
	var entries [4096]byte
	first := int64(uintptr(unsafe.Pointer(&mapped[0]))) / int64(osPage) * 8
	pages := len(mapped) / osPage
	for page := 0; page < pages; {
		want := min(len(entries), (pages-page)*8)
		n, err := unix.Pread(fd, entries[:want], first+int64(page)*8)
		if err == nil && n != want {
			err = unix.EIO
		}
		if err != nil {
			return own, err
		}
		for at := 0; at < want; at += 8 {
			e := binary.NativeEndian.Uint64(entries[at:])
			if e>>62 != 0 && e&(1<<61) == 0 {
				own = extend(own, page*osPage, (page+1)*osPage)
			}
			page++
		}
	}
	return own, nil
}

// extend appends a range, or lengthens the last one if it touches.
func extend(own []span, from, to int) []span {
	if n := len(own); n > 0 && own[n-1].to == from {
		own[n-1].to = to
		return own
	}
	return append(own, span{from, to})
}
