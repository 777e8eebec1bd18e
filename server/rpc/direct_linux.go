package rpc

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket reads and writes a socket that doesn't block without telling Go's scheduler
// of system calls that are over at once: each would wake its monitor, which then looks
// every 20 µs whether the call has come back, at a sixth of all that an exchange costs.
// One goroutine may read and one write.
type socket struct {
	net.Conn
	raw syscall.RawConn
	in  transfer
	out transfer
}

// transfer is a read or a write that is under way.
type transfer struct {
	call  uintptr
	b     []byte
	n     int
	errno syscall.Errno
	try   func(fd uintptr) bool
}

// direct is nc itself if it isn't a socket.
func direct(nc net.Conn) net.Conn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nc
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nc
	}
	s := &socket{Conn: nc, raw: raw, in: transfer{call: unix.SYS_READ}, out: transfer{call: unix.SYS_WRITE}}
	s.in.try, s.out.try = s.in.once, s.out.once
	return s
}

// once tries; false has the caller wait until the socket is ready.
func (t *transfer) once(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(t.call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.b))), uintptr(len(t.b)))
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		t.n, t.errno = int(n), errno //nolint:gosec // no more than the length
		return true
	}
}

func (t *transfer) outcome(op string, err error) (int, error) {
	t.b = nil
	switch {
	case err != nil:
		return 0, err
	case t.errno != 0:
		return 0, os.NewSyscallError(op, t.errno)
	}
	return t.n, nil
}

// Read implements io.Reader.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.in.b = b
	n, err := s.in.outcome("read", s.raw.Read(s.in.try))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (s *socket) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var some int
		s.out.b = b[n:]
		some, err = s.out.outcome("write", s.raw.Write(s.out.try))
		n += some
	}
	return n, err
}
