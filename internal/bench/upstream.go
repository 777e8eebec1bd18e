package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
)

// upstream answers what the load asks for, and does little else: a server of net/http
// takes more of the processors than an ext_proc server does, and what the contestants
// differ in would be lost in it.
type upstream struct {
	net.Listener
	address string // as a proxy is told
}

func startUpstream(ctx context.Context, socket string) (*upstream, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	u := &upstream{l, "unix://" + socket}
	go u.serve()
	return u, nil
}

func (u *upstream) serve() {
	for {
		nc, err := u.Accept()
		if err != nil {
			return // it is closed
		}
		go func() {
			defer nc.Close()
			_ = answer(nc, bufio.NewReader(nc)) // Envoy has gone
		}()
	}
}

const (
	headers = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: application/octet-stream\r\n"
	empty   = headers + "content-length: 0\r\n\r\n"
	echoed  = headers + "transfer-encoding: chunked\r\n\r\n"
)

// answer answers requests one by one: those without a body with none, others with their
// body as it comes.
func answer(w io.Writer, r *bufio.Reader) error {
	piece := make([]byte, 64<<10)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		if req.ContentLength == 0 {
			if _, err = io.WriteString(w, empty); err != nil {
				return err
			}
			continue
		}
		if _, err = io.WriteString(w, echoed); err != nil {
			return err
		}
		if err = echo(w, req.Body, piece); err != nil {
			return err
		}
	}
}

func echo(w io.Writer, body io.Reader, piece []byte) error {
	chunked := httputil.NewChunkedWriter(w)
	if _, err := io.CopyBuffer(chunked, struct{ io.Reader }{body}, piece); err != nil {
		return err
	}
	err := chunked.Close()
	_, last := io.WriteString(w, "\r\n") // there are no trailers
	return errors.Join(err, last)
}
