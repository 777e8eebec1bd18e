package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is a client that writes whatever frames it likes.
type peer struct {
	t   testing.TB
	net net.Conn
	*http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

// connect greets a server as it should be.
func connect(t testing.TB, address string) *peer {
	t.Helper()
	p := hello(t, address, http2.ClientPreface)
	if err := p.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return p
}

// hello connects and begins with some text.
func hello(t testing.TB, address, text string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	p := &peer{t: t, net: nc, Framer: http2.NewFramer(nc, nc)}
	p.AllowIllegalWrites = true
	p.enc = hpack.NewEncoder(&p.block)
	if _, err := nc.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return p
}

// fields encodes a header block; what follows the method are names and values.
func (p *peer) fields(method string, more ...string) []byte {
	p.block.Reset()
	all := append([]string{":method", "POST", ":scheme", "http", ":path", "/test.T/" + method, "content-type", "application/grpc"}, more...)
	for i := 0; i < len(all); i += 2 {
		if err := p.enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}); err != nil {
			p.t.Fatal(err)
		}
	}
	return p.block.Bytes()
}

// open opens a stream. Writes may fail, once the server has had enough.
func (p *peer) open(id uint32, method string, more ...string) error {
	return p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(method, more...), EndHeaders: true})
}

// message is a message as it goes into DATA.
func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

// ends reads until the server ends the connection, or the stream 1, and says how:
// "GOAWAY code", "RST code", or "closed".
func (p *peer) ends() string {
	for {
		f, err := p.ReadFrame()
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return "GOAWAY " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			return "RST " + f.ErrCode.String()
		}
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return "nothing"
			}
			return "closed"
		}
	}
}

// repeat writes until the server has had enough.
func repeat(n int, write func(i int) error) {
	for i := range n {
		if write(i) != nil {
			return
		}
	}
}

// TestAbuse: a client that breaks the protocol, or uses it to keep the server busy,
// loses its stream or its connection, and nobody else notices.
func TestAbuse(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		preface    string
		do         func(p *peer)
	}{
		{name: "no HTTP/2", want: "GOAWAY PROTOCOL_ERROR", preface: "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n", do: func(*peer) {}},
		{name: "no settings", want: "GOAWAY PROTOCOL_ERROR", preface: http2.ClientPreface, do: func(p *peer) { _ = p.WritePing(false, [8]byte{}) }},
		{name: "settings in a flood", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			repeat(2*maxControl, func(int) error { return p.WriteSettings() })
		}},
		{name: "pings in a flood", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			repeat(2*maxControl, func(int) error { return p.WritePing(false, [8]byte{}) })
		}},
		{name: "empty data in a flood", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			_ = p.open(1, "Echo")
			repeat(2*maxControl, func(int) error { return p.WriteData(1, false, nil) })
		}},
		{name: "priorities in a flood", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			repeat(2*maxControl, func(int) error { return p.WritePriority(3, http2.PriorityParam{StreamDep: 1}) })
		}},
		{name: "CVE-2023-44487: streams opened and reset", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			repeat(2*maxControl, func(i int) error {
				id := uint32(2*i + 1)
				return errors.Join(p.open(id, "Echo"), p.WriteRSTStream(id, http2.ErrCodeCancel))
			})
		}},
		{name: "CVE-2023-45288: headers without end", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields("Echo")})
			block := bytes.Clone(p.fields("Echo", "x", strings.Repeat("y", 8000)))
			repeat(1000, func(int) error { return p.WriteContinuation(1, false, block) })
		}},
		{name: "headers too large", want: "RST PROTOCOL_ERROR", do: func(p *peer) {
			// Of one entry of the table, which costs a byte each time.
			block := bytes.Clone(p.fields("Echo", "x", strings.Repeat("y", 4000)))
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(block, bytes.Repeat([]byte{0x80 | 62}, 100)...), EndHeaders: true})
		}},
		{name: "malformed headers", want: "GOAWAY COMPRESSION_ERROR", do: func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}},
		{name: "fields out of order", want: "RST PROTOCOL_ERROR", do: func(p *peer) { _ = p.open(1, "Echo", ":method", "POST") }},
		{name: "an even stream", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) { _ = p.open(2, "Echo") }},
		{name: "data of a stream that was never opened", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) { _ = p.WriteData(5, false, []byte("x")) }},
		{name: "data of no stream", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) { _ = p.WriteData(0, false, []byte("x")) }},
		{name: "padding longer than its frame", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) {
			_ = p.open(1, "Wait")
			_ = p.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{2, 'x'})
		}},
		{name: "padding without a length", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) {
			_ = p.open(1, "Wait")
			_ = p.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, nil)
		}},
		{name: "data within headers", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields("Echo")})
			_ = p.WriteData(1, false, message("a"))
		}},
		{name: "reset of a stream that was never opened", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) { _ = p.WriteRSTStream(5, 0) }},
		{name: "a push", want: "GOAWAY PROTOCOL_ERROR", do: func(p *peer) {
			_ = p.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: p.fields("Echo"), EndHeaders: true})
		}},
		{name: "a window that overflows", want: "GOAWAY FLOW_CONTROL_ERROR", do: func(p *peer) { _ = p.WriteWindowUpdate(0, maxWindow) }},
		{name: "a stream's window that overflows", want: "RST FLOW_CONTROL_ERROR", do: func(p *peer) {
			_ = p.open(1, "Echo")
			_ = p.WriteWindowUpdate(1, maxWindow)
		}},
		{name: "windows that overflow by settings", want: "GOAWAY FLOW_CONTROL_ERROR", do: func(p *peer) {
			_ = p.open(1, "Echo")
			_ = p.WriteWindowUpdate(1, maxWindow-initialWindow)
			_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow})
		}},
		{name: "more than the window", want: "RST FLOW_CONTROL_ERROR", do: func(p *peer) {
			_ = p.open(1, "Wait")
			for range 17 {
				_ = p.WriteData(1, false, message(strings.Repeat("x", 16<<10-5)))
			}
		}},
		{name: "data after the end", want: "RST STREAM_CLOSED", do: func(p *peer) {
			_ = p.open(1, "Wait")
			_ = p.WriteData(1, true, message("a"))
			_ = p.WriteData(1, true, message("b"))
		}},
		{name: "trailers that end nothing", want: "RST PROTOCOL_ERROR", do: func(p *peer) {
			_ = p.open(1, "Wait")
			_ = p.open(1, "Wait")
		}},
		{name: "a frame that is too large", want: "GOAWAY FRAME_SIZE_ERROR", do: func(p *peer) {
			_ = p.open(1, "Wait")
			_ = p.WriteData(1, false, make([]byte, 1<<20))
		}},
		{name: "answers that nobody reads", want: "GOAWAY ENHANCE_YOUR_CALM", do: func(p *peer) {
			repeat(3*maxControl, func(int) error { return p.WritePing(false, [8]byte{}) })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, address := serve(t, Options{})
			p := (*peer)(nil)
			if tc.preface != "" {
				p = hello(t, address, tc.preface)
			} else {
				p = connect(t, address)
			}
			tc.do(p)
			if got := p.ends(); got != tc.want && (got != "closed" || !strings.HasPrefix(tc.want, "GOAWAY ENHANCE")) {
				// One that has written much meanwhile may lose what it was told.
				t.Errorf("ended by %s, expected %s", got, tc.want)
			}
			_ = p.net.Close()
			until(t, func() bool { return s.handlers() == 0 })
			echo(t, call(t.Context(), t, dial(t, address), "Echo"), []byte("still there"))
		})
	}
}

// TestLyingLengths: messages that claim to be large take no memory before they
// come.
func TestLyingLengths(t *testing.T) {
	_, address := serve(t, Options{})
	p := connect(t, address)
	go func() { _, _ = io.Copy(io.Discard, p.net) }()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const streams = 200
	for i := range uint32(streams) {
		if err := errors.Join(p.open(2*i+1, "Echo"), p.WriteData(2*i+1, false, []byte{0, 3, 0, 0, 0, 'x'})); err != nil {
			t.Fatal(err)
		}
	}
	echo(t, call(t.Context(), t, dial(t, address), "Echo"), []byte("a"))
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > streams*(256<<10)+(8<<20) {
		t.Errorf("%d streams that claim 48 MiB each took %d MiB", streams, grown>>20)
	}
}

// TestZombies: handlers of streams that were given up count, so that opening and
// resetting streams does not start ever more of them.
func TestZombies(t *testing.T) {
	release := make(chan struct{})
	var before = methods["/test.T/Wait"]
	defer func() { methods["/test.T/Wait"] = before }()
	methods["/test.T/Wait"] = func(*Stream) error { <-release; return nil }
	s, address := serve(t, Options{MaxStreams: 10})
	p := connect(t, address)
	go func() { _, _ = io.Copy(io.Discard, p.net) }()
	for i := range uint32(100) {
		id := 2*i + 1
		if err := errors.Join(p.open(id, "Wait"), p.WriteData(id, false, message("a")), p.WriteRSTStream(id, http2.ErrCodeCancel)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func() bool { return s.handlers() == 10 })
	time.Sleep(20 * time.Millisecond)
	if n := s.handlers(); n != 10 {
		t.Errorf("%d handlers run, 10 may", n)
	}
	close(release)
	until(t, func() bool { return s.handlers() == 0 })
}

// TestSilence: a client that doesn't answer when it is asked whether it lives is
// taken to be gone.
func TestSilence(t *testing.T) {
	for idle := 50 * time.Millisecond; !silence(t, idle); idle *= 3 {
		if t.Logf("a client did not answer within %v", idle); idle > 5*time.Second {
			t.Fatal("a client that answers is taken to be gone")
		}
	}
}

// silence has one client answer and another not. It is false if the one took too long.
func silence(t *testing.T, idle time.Duration) bool {
	t.Helper()
	s, address := serve(t, Options{Idle: idle})
	p := connect(t, address)
	if err := errors.Join(p.open(1, "Wait"), p.WriteData(1, false, message("a"))); err != nil {
		t.Fatal(err)
	}
	cc := dial(t, address) // grpc-go answers pings
	st := call(t.Context(), t, cc, "Echo")
	m := []byte("a")
	if st.SendMsg(&m) != nil || st.RecvMsg(&m) != nil {
		return false
	}
	until(t, func() bool { return s.handlers() <= 1 })
	time.Sleep(4 * idle)
	return st.SendMsg(&m) == nil && st.RecvMsg(&m) == nil
}

// FuzzFrames: whatever a client sends, nothing panics and no handler stays behind.
func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	p := &peer{t: f, Framer: http2.NewFramer(&b, nil)}
	p.enc = hpack.NewEncoder(&p.block)
	_ = errors.Join(p.WriteSettings(), p.open(1, "Echo"), p.WriteData(1, false, message("hello")), p.WriteData(1, true, message("")))
	f.Add(bytes.Clone(b.Bytes()))
	b.Reset()
	_ = errors.Join(p.WriteSettings(), p.open(1, "Wait", "grpc-timeout", "1m"), p.WriteData(1, false, message("hello")), p.WriteWindowUpdate(1, 7), p.WriteRSTStream(1, 0), p.WritePing(false, [8]byte{}))
	f.Add(bytes.Clone(b.Bytes()))
	b.Reset()
	_ = errors.Join(p.WriteSettings(), p.open(1, "EchoInTurns"), p.WriteData(1, false, message("hello")), p.open(3, "EchoInTurns"), p.WriteData(3, true, message("a")), p.WriteRSTStream(1, 0))
	f.Add(bytes.Clone(b.Bytes()))
	f.Fuzz(func(t *testing.T, frames []byte) {
		s := NewServer(served(), Options{})
		client, server := net.Pipe()
		s.start(server)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_ = client.SetDeadline(time.Now().Add(time.Minute))
		if _, err := client.Write(append([]byte(http2.ClientPreface), frames...)); errors.Is(err, io.ErrClosedPipe) {
			return // the server has had enough
		}
		_ = client.Close()
		s.Stop()
	})
}
