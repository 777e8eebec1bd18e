package wasihttp

import (
	"errors"
	"fmt"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
)

var (
	errBudget   = errors.New("output-stream: wrote more than check-write permitted")
	errBlocking = errors.New("output-stream: a blocking write takes 4096 bytes at most")
)

const (
	blockingMaximum = 4096 // wasi:io/streams, blocking-write-and-flush
	readMaximum     = 1 << 20
	zeroesMaximum   = writeBudget
)

// inputStream is the resource of that name: the stream of a body, or stdin,
// which is empty, when body is nil.
type inputStream struct {
	body     *incomingBody
	children int
}

func (s *inputStream) ready(*guest) bool { return s.body == nil || s.body.ready() }

// take gets up to n bytes. Once there are none and none will come, closed is
// true.
func (s *inputStream) take(n uint64) (chunk plugin.Chunk, closed bool) {
	b := s.body
	if b == nil || b.joined != nil {
		return chunk, true
	}
	b.receive()
	if b.src.Len() == 0 {
		return chunk, b.ended()
	}
	b.touched = true
	return b.src.TakeChunk(int(min(n, readMaximum))), false
}

// outputStream is the resource of that name: the stream of a body, or of log
// lines.
type outputStream struct {
	body     *outgoingBody
	log      *lines
	children int
}

// ready reports whether something may be written. A guest that has to wait is
// to be woken as soon as what it wrote has been taken.
func (s *outputStream) ready(g *guest) bool {
	if s.body == nil || s.body.aborted {
		return true
	}
	n, err := s.body.budget()
	if n > 0 || err != nil {
		return true
	}
	g.wakeSoon(s.body)
	return false
}

// permit is what check-write answers. After the last byte of a declared length
// it still permits writes, which then fail: guests' loops ask once more.
func (s *outputStream) permit(g *guest) (int, error) {
	if s.body == nil {
		return writeBudget, nil
	}
	n, err := s.body.budget()
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, g.idle()
	}
	return n, nil
}

// put writes contents, of which there is room.
func (s *outputStream) put(g *guest, c *abi.Call, contents string) error {
	b := s.body
	if b == nil {
		s.log.write(g, contents)
		c.ReturnOk()
		return nil
	}
	if b.aborted {
		return streamClosed(c)
	}
	if err := b.writing(g, len(contents)); err != nil {
		return err
	}
	if b.expected != unknownLength && b.written+int64(len(contents)) > b.expected {
		b.written += int64(len(contents))
		code := b.sizeError()
		b.abort()
		return streamFailed(c, code)
	}
	b.forward(g, contents)
	b.decide(g)
	c.ReturnOk()
	return nil
}

// writing takes note that the guest itself writes n bytes. What it joined before
// comes first.
func (b *outgoingBody) writing(g *guest, n int) error {
	if b.gone && n > 0 {
		return errGone
	}
	b.pump(g)
	if b.state == pumping {
		if err := g.await(b); err != nil {
			return err
		}
		g.unpump(b)
	}
	b.state = written
	return nil
}

func streamClosed(c *abi.Call) error {
	c.Result = c.ErrCase("closed")
	return nil
}

func streamFailed(c *abi.Call, code errorCode) error {
	c.Result = c.ErrCase("last-operation-failed", c.Own(&ioError{code}))
	return nil
}

// blocking makes a read wait until the stream has something to say.
func blocking(read func(*guest, *abi.Call) error) func(*guest, *abi.Call) error {
	return func(g *guest, c *abi.Call) error {
		if c.Args[1].Num > 0 {
			if err := g.await(c.Args[0].Obj.(*inputStream)); err != nil {
				return err
			}
		}
		return read(g, c)
	}
}

// read takes up to n bytes, or gives the answer to a call that gets none.
func (s *inputStream) read(g *guest, c *abi.Call, n uint64) (chunk plugin.Chunk, done bool, err error) {
	chunk, closed := s.take(n)
	switch {
	case len(chunk.Bytes) > 0:
		return chunk, false, nil
	case closed && s.body != nil && s.body.err != nil:
		return chunk, true, streamFailed(c, codeOf(s.body.err))
	case closed:
		return chunk, true, streamClosed(c)
	case n == 0:
		return chunk, false, nil
	}
	s.body.want()
	return chunk, false, g.idle()
}

// gaveOut takes note of what the guest is given of a body. What it was given before is
// in its memory by now.
func (g *guest) gaveOut(chunk plugin.Chunk) {
	g.read.Done()
	g.read = chunk
}

func streamRead(g *guest, c *abi.Call) error {
	chunk, done, err := c.Args[0].Obj.(*inputStream).read(g, c, c.Args[1].Num)
	if !done {
		g.gaveOut(chunk)
		c.Result = c.Ok(abi.Bytes(chunk.Bytes))
	}
	return err
}

func streamSkip(g *guest, c *abi.Call) error {
	chunk, done, err := c.Args[0].Obj.(*inputStream).read(g, c, c.Args[1].Num)
	if !done {
		c.Result = c.Ok(abi.U64(uint64(len(chunk.Bytes))))
		chunk.Done()
	}
	return err
}

func inputSubscribe(g *guest, c *abi.Call) error {
	s := c.Args[0].Obj.(*inputStream)
	c.ReturnOwn(g.pollableFor(s, &s.children))
	return g.full()
}

func outputSubscribe(g *guest, c *abi.Call) error {
	s := c.Args[0].Obj.(*outputStream)
	c.ReturnOwn(g.pollableFor(s, &s.children))
	return g.full()
}

func checkWrite(g *guest, c *abi.Call) error {
	s := c.Args[0].Obj.(*outputStream)
	if s.body != nil && s.body.aborted {
		return streamClosed(c)
	}
	n, err := s.permit(g)
	c.Result = c.Ok(abi.U64(uint64(n)))
	return err
}

func streamWrite(g *guest, c *abi.Call) error {
	s, contents := c.Args[0].Obj.(*outputStream), c.Args[1].Str
	if s.body != nil && !s.body.aborted {
		if n, err := s.body.budget(); err != nil {
			return err
		} else if len(contents) > n {
			return errBudget
		}
	}
	return s.put(g, c, contents)
}

func blockingWrite(g *guest, c *abi.Call) error {
	if len(c.Args[1].Str) > blockingMaximum {
		return errBlocking
	}
	return awaitAndPut(g, c, c.Args[1].Str)
}

// awaitAndPut waits for room and writes contents. There may be a little less
// room than contents needs.
func awaitAndPut(g *guest, c *abi.Call, contents string) error {
	s := c.Args[0].Obj.(*outputStream)
	if err := g.await(s); err != nil {
		return err
	}
	if s.body != nil && !s.body.aborted {
		if _, err := s.body.budget(); err != nil {
			return err
		}
	}
	return s.put(g, c, contents)
}

func streamFlush(g *guest, c *abi.Call) error {
	s := c.Args[0].Obj.(*outputStream)
	if s.body != nil && s.body.aborted {
		return streamClosed(c)
	}
	c.ReturnOk()
	return nil
}

var zeroes = string(make([]byte, zeroesMaximum))

func writeZeroes(g *guest, c *abi.Call) error {
	s, n := c.Args[0].Obj.(*outputStream), c.Args[1].Num
	if n > zeroesMaximum {
		return errBudget
	}
	if s.body != nil && !s.body.aborted {
		if room, err := s.body.budget(); err != nil {
			return err
		} else if n > uint64(room) {
			return errBudget
		}
	}
	return s.put(g, c, zeroes[:n])
}

func blockingWriteZeroes(g *guest, c *abi.Call) error {
	if c.Args[1].Num > blockingMaximum {
		return errBlocking
	}
	return awaitAndPut(g, c, zeroes[:c.Args[1].Num])
}

func blockingSplice(g *guest, c *abi.Call) error {
	to, from, n := c.Args[0].Obj.(*outputStream), c.Args[1].Obj.(*inputStream), c.Args[2].Num
	if n > 0 && !canJoin(to, from, n) {
		if err := g.await(to); err != nil {
			return err
		}
		if err := g.await(from); err != nil {
			return err
		}
	}
	return streamSplice(g, c)
}

// canJoin reports whether a splice will join the streams.
func canJoin(to *outputStream, from *inputStream, n uint64) bool {
	return to.body != nil && from.body != nil && to.body.canJoin(from.body, n)
}

func streamSplice(g *guest, c *abi.Call) error {
	to, from, n := c.Args[0].Obj.(*outputStream), c.Args[1].Obj.(*inputStream), c.Args[2].Num
	if to.body != nil && to.body.aborted {
		return streamClosed(c)
	}
	if canJoin(to, from, n) {
		to.body.join(from.body)
		to.body.decide(g)
		c.ReturnNum(uint64(max(0, from.body.length)))
		c.WrapOk()
		return nil
	}
	room, err := to.permit(g)
	if err != nil {
		return err
	}
	if n = min(n, uint64(room)); n == 0 {
		c.Result = c.Ok(abi.U64(0))
		return nil
	}
	chunk, done, err := from.read(g, c, n)
	if err != nil || done {
		return err
	}
	if len(chunk.Bytes) > 0 {
		if err := to.splice(g, c, chunk); err != nil || c.Result.Num == 1 {
			return err
		}
	}
	c.Result = c.Ok(abi.U64(uint64(len(chunk.Bytes))))
	return nil
}

// splice writes a chunk that needs no copy.
func (s *outputStream) splice(g *guest, c *abi.Call, chunk plugin.Chunk) error {
	b := s.body
	if b == nil || b.expected != unknownLength && b.written+int64(len(chunk.Bytes)) > b.expected {
		return s.put(g, c, view(chunk.Bytes))
	}
	if err := b.writing(g, len(chunk.Bytes)); err != nil {
		return err
	}
	b.push(chunk)
	b.decide(g)
	c.ReturnOk()
	return nil
}

func dropInputStream(g *guest, s *inputStream) {
	g.orphan(s.children)
	if s.body != nil {
		s.body.streams = 0
	}
}

func dropOutputStream(g *guest, s *outputStream) {
	g.orphan(s.children)
	if s.body != nil {
		s.body.streams = 0
	}
}

// ioError is the resource error of wasi:io.
type ioError struct{ errorCode }

func errorToDebugString(_ *guest, c *abi.Call) error {
	c.Result = abi.String(fmt.Sprint(c.Args[0].Obj.(*ioError).errorCode))
	return nil
}
