package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestEnvoyBodyBeforeBody: a guest has the whole of a new body before any of the
// old one has come.
func TestEnvoyBodyBeforeBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerSlowly(conn)
		}
	}()
	p := before(t, setup{}, l.Addr().String())
	for range 3 {
		p.plugin.ReadsResponseFirst.Store(true)
		got := p.ask(t, p.http1, asked{path: "/", do: "new-bodies", body: "abc"})
		equal(t, got.body, "from the guest too")
		equal(t, got.status, 200)
	}
	p.noneSpurious(t)
}

// TestEnvoyResponseBeforeBody: a guest has seen the whole of a body and wants the
// response before it sends one on.
func TestEnvoyResponseBeforeBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	bodies := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		body, _ := io.ReadAll(req.Body)
		bodies <- string(body)
		fmt.Fprint(conn, "5\r\nearly\r\n0\r\n\r\n")
	}()
	p := before(t, setup{}, l.Addr().String())
	got := p.ask(t, p.http1, asked{path: "/", do: "ask-first", body: "12345"})
	equal(t, got.body, "early")
	equal(t, <-bodies, "late")
	p.noneSpurious(t)
}

// answerSlowly sends a body some time after its headers.
func answerSlowly(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_ = req.Body.Close()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		time.Sleep(100 * time.Millisecond)
		fmt.Fprint(conn, "3\r\nold\r\n0\r\n\r\n")
	}
}
