package wasihttp

import (
	"bytes"
	"slices"
	"testing"
)

// TestWritesAreJoined: what a guest writes bit by bit goes on in large parts, as each
// of them costs a message.
func TestWritesAreJoined(t *testing.T) {
	for _, test := range []struct {
		name   string
		writes []int
		parts  []int
	}{
		{"nothing", []int{0, 0}, nil},
		{"a few bytes", []int{1, 0, 2, 3}, []int{6}},
		{"as much as a blocking write takes", slices.Repeat([]int{blockingMaximum}, 40), []int{chunkSize, chunkSize, 40*blockingMaximum - 2*chunkSize}},
		{"quarters", slices.Repeat([]int{chunkSize / 4}, 4), []int{chunkSize}},
		{"one of full size", []int{chunkSize}, []int{chunkSize}},
		{"one that is larger", []int{3*chunkSize + 1}, []int{3*chunkSize + 1}},
		{"a head and all else", []int{1, chunkSize}, []int{chunkSize, 1}},
		{"a head and far more", []int{chunkSize / 2, 3 * chunkSize}, []int{chunkSize, 5 * chunkSize / 2}},
		{"growing", []int{1, 600, 3000, 20_000, 60_000}, []int{chunkSize, 83_601 - chunkSize}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &outgoingBody{}
			b.queue = &b.own
			var all []byte
			for i, n := range test.writes {
				part := bytes.Repeat([]byte{byte(i)}, n)
				b.write(string(part))
				all = append(all, part...)
			}
			b.unstage()
			if b.written != int64(len(all)) {
				t.Errorf("%d bytes are counted, expected %d", b.written, len(all))
			}
			var got []byte
			var parts []int
			for part := b.queue.Pop(); part != nil; part = b.queue.Pop() {
				got, parts = append(got, part...), append(parts, len(part))
			}
			if !bytes.Equal(got, all) || !slices.Equal(parts, test.parts) {
				t.Errorf("%d bytes in parts of %v, expected %d of %v", len(got), parts, len(all), test.parts)
			}
		})
	}
}

// TestForwardedIsNotCopied: a guest that writes what it has just read hands on the very
// piece that came, once. All else is copied: it is in the guest's memory, which changes.
func TestForwardedIsNotCopied(t *testing.T) {
	came := bytes.Repeat([]byte("body"), 4<<10)
	changed := bytes.Clone(came)
	changed[len(changed)-1]++
	for _, test := range []struct {
		name    string
		writes  [][]byte
		expects []bool // by part that goes on: whether it is the piece
	}{
		{"the same", [][]byte{came}, []bool{true}},
		{"behind what is joined", [][]byte{[]byte("head"), came, []byte("tail")}, []bool{false, true, false}},
		{"twice", [][]byte{came, came}, []bool{true, false}},
		{"changed", [][]byte{changed}, []bool{false}},
		{"shorter", [][]byte{came[:len(came)-1]}, []bool{false}},
		{"longer", [][]byte{append(bytes.Clone(came), 0)}, []bool{false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, b := &guest{}, &outgoingBody{}
			g.read.Bytes, b.queue = came, &b.own
			var all, got []byte
			for _, w := range test.writes {
				b.forward(g, string(w))
				all = append(all, w...)
			}
			b.unstage()
			var same []bool
			for part := b.queue.Pop(); part != nil; part = b.queue.Pop() {
				got, same = append(got, part...), append(same, &part[0] == &came[0])
			}
			if !bytes.Equal(got, all) || b.written != int64(len(all)) {
				t.Errorf("%d bytes went on and %d are counted, expected the %d that were written", len(got), b.written, len(all))
			}
			if !slices.Equal(same, test.expects) {
				t.Errorf("parts are the piece that came: %v, expected %v", same, test.expects)
			}
		})
	}
}
