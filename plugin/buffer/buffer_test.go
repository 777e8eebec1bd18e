package buffer

import "testing"

// TestNew: there is room for what was asked, and not much more.
func TestNew(t *testing.T) {
	for n := 1; n < 1<<largest+2*spare; n += 41 {
		b := New(n)
		if b == nil {
			if n > worth && n <= 1<<largest+spare {
				t.Fatalf("none for %d bytes", n)
			}
			continue
		}
		if have := len(b.Memory()); have < n || have > 2*n {
			t.Fatalf("%d bytes for %d", have, n)
		}
		b.Lend(n)
		b.Return(n)
	}
}

// TestReturn: memory is used again when the last byte was given back, and not before.
func TestReturn(t *testing.T) {
	Spoil()
	b := New(64 << 10)
	at := b.Memory()
	at[0], at[100] = 'a', 'b'
	b.Lend(200)
	b.Return(0)
	b.Return(150)
	if at[0] != 'a' || at[100] != 'b' {
		t.Error("overwritten although 50 bytes are lent")
	}
	b.Return(50)
	if at[0] == 'a' || at[100] == 'b' {
		t.Error("Spoil had no effect")
	}
	(*Buffer)(nil).Return(3)
}
