package rpc

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// TestFrames: a message comes whole in whatever frames it was sent, with padding or
// without, on any side of the end of what is read at once.
func TestFrames(t *testing.T) {
	_, address := serve(t, Options{})
	p := connect(t, address)
	if err := p.open(1, "EchoInTurns"); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 7, 8 << 10, 16 << 10, maxFrame - 256, maxFrame} {
		for pad := range 3 {
			m := message(string(bytes.Repeat([]byte{byte(size), byte(pad), 3}, maxFrame/3)))
			if size < 8<<10 {
				m = message(string(m[:100]))
			}
			for rest := m; len(rest) > 0; {
				part := rest[:min(max(size-pad, 1), len(rest))]
				rest = rest[len(part):]
				var err error
				if pad == 0 {
					err = p.WriteData(1, false, part)
				} else {
					err = p.WriteDataPadded(1, false, part, make([]byte, pad-1))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if got := p.data(len(m)); !bytes.Equal(got, m) {
				t.Fatalf("frames of %d bytes, padding %d: another message came back", size, pad)
			}
		}
	}
}

// data is what n bytes of DATA hold. What was read is credited.
func (p *peer) data(n int) (all []byte) {
	p.t.Helper()
	for len(all) < n {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		if f, ok := f.(*http2.DataFrame); ok {
			all = append(all, f.Data()...)
			for _, stream := range []uint32{0, 1} {
				if err := p.WriteWindowUpdate(stream, f.Length); err != nil {
					p.t.Fatal(err)
				}
			}
		}
	}
	return all
}
