package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDirect: connections of a listener do what those of net do: wait, end a wait, and
// end.
func TestDirect(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l = Direct(l)
	defer l.Close()
	peer, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}

	sent := bytes.Repeat([]byte("more than a socket holds "), 100_000)
	wrote := make(chan error, 1)
	go func() {
		_, err := nc.Write(sent)
		wrote <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent) || <-wrote != nil {
		t.Errorf("what was written has not come (%v)", err)
	}
	time.AfterFunc(10*time.Millisecond, func() { _, _ = peer.Write([]byte("abc")) })
	if n, err := nc.Read(got); n != 3 || err != nil {
		t.Errorf("%d bytes (%v), expected 3", n, err)
	}
	if err := nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Error(err)
	}
	if _, err := nc.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, expected the deadline", err)
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { _ = nc.Close() })
	if _, err := nc.Read(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, expected the end of the connection", err)
	}
	if _, err := peer.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %v", err)
	}
}
