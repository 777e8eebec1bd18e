package rpc

import (
	"bytes"
	"slices"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// FuzzAgain: whatever blocks come, those that are not read once more mean what they
// would if they were. A block is a byte that says how long it is, and so many bytes.
func FuzzAgain(f *testing.F) {
	const indexed, path = "\xbe", "\x04\x01/" // the last field of the table; one of none
	insert := func(name string) string { return "\x40\x01" + name + "\x00" }
	sized := func(blocks ...string) (b []byte) {
		for _, block := range blocks {
			b = append(append(b, byte(len(block))), block...)
		}
		return b
	}
	f.Add(sized(insert("a"), indexed+path, indexed+path, insert("b"), indexed+path, indexed+path))
	f.Add(sized(insert("a"), indexed, "\x20"+indexed, indexed, indexed))
	f.Add(sized("\x10\x01a\x01b", "\x10\x01a\x01b", "\x0f\x00\x01b", "\x0f\x00\x01b", "\xff\x00"))
	f.Fuzz(func(t *testing.T, blocks []byte) {
		var all, some []hpack.HeaderField
		every := hpack.NewDecoder(4096, func(f hpack.HeaderField) { all = append(all, f) })
		other := hpack.NewDecoder(4096, func(f hpack.HeaderField) { some = append(some, f) })
		var b headerBlock
		for len(blocks) > 0 {
			n := min(int(blocks[0]), len(blocks)-1)
			block := blocks[1 : 1+n]
			blocks = blocks[1+n:]
			all = all[:0]
			if !decode(every, block) {
				return // and the connection would end
			}
			if !b.again(block) {
				some = some[:0]
				decode(other, block)
			}
			if !slices.Equal(all, some) {
				t.Fatalf("%x: %v, expected %v", block, some, all)
			}
		}
	})
}

func decode(d *hpack.Decoder, block []byte) bool {
	if _, err := d.Write(block); err != nil {
		return false
	}
	return d.Close() == nil
}

// TestSteady: the block that a proxy sends for each stream but its first is read once.
func TestSteady(t *testing.T) {
	var out bytes.Buffer
	enc := hpack.NewEncoder(&out)
	enc.SetMaxDynamicTableSize(4096)
	var b headerBlock
	for i, want := range []bool{false, false, true, true} {
		out.Reset()
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":path", Value: "/a/b"}, {Name: "te", Value: "trailers"}} {
			if err := enc.WriteField(f); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.again(out.Bytes()); got != want {
			t.Errorf("block %d, %x: %v, expected %v", i, out.Bytes(), got, want)
		}
	}
	for _, block := range []string{"\x04", "\x04\x05abc", "\x00\x01a", "\x04\x7f", "\x1f\x00\x00", "\x3f\xe1\x1f", "\x82\x41\x00"} {
		if steady([]byte(block)) {
			t.Errorf("%x is taken for steady", block)
		}
	}
}
