package wasihttp_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/extproc/extproc/plugin"
)

// bodies has exchanges whose bodies come as a proxy sends them, in one piece each.
type bodies struct {
	tb     testing.TB
	module plugin.Module
	head   [2]plugin.Headers
	body   []byte
	moved  [2]int // bytes that went on
	pieces int    // that they went on in
}

// exchange takes a request and its response through a guest.
func (b *bodies) exchange() {
	b.moved, b.pieces = [2]int{}, 0
	ex := &plugin.Exchange{}
	g, err := b.module.Start(ex)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer g.Close()
	for d := range plugin.Direction(2) {
		m := ex.Message(d)
		m.Arrived, m.Original = true, b.head[d]
		for sent := false; !m.Out.Ended; {
			if _, err := g.Step(b.tb.Context()); err != nil {
				b.tb.Fatal(err)
			}
			if !b.take(d, &m.Out) && !m.Out.Ended {
				if sent {
					b.tb.Fatal("the guest waits for more than all of the body")
				}
				m.In.Push(b.body)
				m.In.Ended, sent = true, true
			}
		}
	}
}

func (b *bodies) take(d plugin.Direction, out *plugin.Body) (some bool) {
	for piece := out.Pop(); piece != nil; piece = out.Pop() {
		b.moved[d] += len(piece)
		b.pieces++
		some = true
	}
	return some
}

// BenchmarkBodies are bodies that go through a guest both ways: read and written again
// with changes, or without any.
func BenchmarkBodies(b *testing.B) {
	for _, guest := range []struct{ name, file string }{
		{"changed", example("body-transform", "rust")},
		{"forwarded", guestFile("duplex")},
	} {
		for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKB", guest.name, size>>10), func(b *testing.B) {
				x := &bodies{
					tb: b, module: load(b, guest.file).Module, body: bytes.Repeat([]byte("body"), size/4),
					head: [2]plugin.Headers{headers(postRequest().headers), headers(okResponse.headers)},
				}
				b.ReportAllocs()
				b.SetBytes(int64(2 * size))
				for b.Loop() {
					x.exchange()
				}
				if x.moved != [2]int{size, size} {
					b.Fatalf("%v bytes went on, expected %d both ways", x.moved, size)
				}
				b.ReportMetric(float64(x.pieces), "pieces/op")
			})
		}
	}
}
